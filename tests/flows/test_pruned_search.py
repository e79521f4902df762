"""The course of a search that prunes, with a stand-in for the trials: who goes on, what is held, and what survives a kill."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prefect.states import Completed, Failed

pytest.importorskip("optuna")

from flows import pruned_search
from flows.halving import Plan
from flows.pruned_search import PrunedSearch, check_pruning
from flows.results import Result
from flows.search import make_space
from flows.search_page import PAGE, table
from flows.search_record import SearchRecord
from flows.trial import Reached, on_reached
from resnet.core.errors import UserError
from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
from tasks.training.runs import begun, held_by, home, list_runs, prune

SPACE = make_space({}, {"train.learning_rate": [0.001, 0.1]}, {"train.optimizer": ["adam", "sgd"]})
RUNGS, SIZES = (1, 3, 9), [9, 3, 1]


class Killed(BaseException):
    """The process of the search was killed."""


class Trials:
    """Stands in for the flow of a trial. The trial with the n-th number has the loss (n * 4 % 9 + 1) / epoch.

    So the order of the nine trials, from the best, is 1, 8, 6, 4, 2, 9, 7, 5, 3 by their numbers from 1.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.trained: list[tuple[int, int, int]] = []  # number, from and to which epoch
        self.failing: set[int] = set()
        self.killed_at = 10**9
        self.held: list[set[str]] = []
        self.ids: dict[int, str] = {}
        self.pages: list[str] = []  # the page while each part trains

    def __call__(self, *, experiment: str, until: int, last: bool, **_: Any) -> Any:
        number = int(experiment.rpartition("-")[2])
        self.pages.append((self.project / PAGE).read_text("utf-8"))
        if len(self.trained) >= self.killed_at:
            raise Killed
        with begun(home(self.project), {"train.epochs": 9, "number": number}) as run:
            before = run.newest.epoch - 1 if run.newest else 0
            if until > before:
                snapshot = Snapshot({"a": np.zeros(1000, np.float32)}, {"epoch": until + 1, "step": 0})
                write_checkpoint(run.folder, snapshot)
                self.trained.append((number, before, until))
        self.ids[number] = run.folder.name
        self.held.append({one.folder.name for one in list_runs(home(self.project)) if held_by(one)})
        if number in self.failing:
            return Failed(message="train: the loss became nan")
        history = [{"epoch": float(one), "val_loss": loss(number) / one, "val_accuracy": 0.5} for one in range(1, until + 1)]
        result = Result(experiment, {}, loss(number) / 9) if last else None
        return Completed(data=Reached(history, run.folder.name, before == 0, result))


def loss(number: int) -> float:
    return (number - 1) * 4 % 9 + 1


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trials:
    made = Trials(tmp_path)
    monkeypatch.setattr(pruned_search, "trial", made)
    monkeypatch.setattr(pruned_search, "interrupt_all", lambda: None, raising=False)
    monkeypatch.setattr("flows.child_runs.interrupt_all", lambda: None)
    monkeypatch.setattr(pruned_search, "git", lambda *_: "refs/exps/aa/bb/search-01")
    return made


def make(project: Path, parallel: int = 1) -> PrunedSearch:
    return PrunedSearch(
        Plan(SPACE, RUNGS, SIZES, 0, "commit", "search", parallel), SearchRecord(project / "search.json"), project
    )


EXPECTED = [*((number, 0, 1) for number in range(1, 10)), (1, 1, 3), (6, 1, 3), (8, 1, 3), (1, 3, 9)]


@pytest.mark.parametrize("parallel", [1, 3])
def test_the_best_third_goes_on_from_its_checkpoint(trials: Trials, tmp_path: Path, parallel: int) -> None:
    search = make(tmp_path, parallel)
    search.run()
    assert sorted(trials.trained) == sorted(EXPECTED)
    standing = search.standing()
    assert [standing.state(number) for number in range(9)] == [
        "finished",
        *["stopped at epoch 1"] * 4,
        "stopped at epoch 3",
        "stopped at epoch 1",
        "stopped at epoch 3",
        "stopped at epoch 1",
    ]
    assert [number + 1 for number in standing.ordered()] == [1, 8, 6, 4, 2, 9, 7, 5, 3]


def test_what_may_go_on_is_held_and_what_was_stopped_is_removed(trials: Trials, tmp_path: Path) -> None:
    make(tmp_path).run()
    ids = trials.ids
    first, second = trials.held[8:11], trials.held[11:12]
    assert trials.held[8] == {ids[number] for number in range(1, 9)}  # while the ninth one trains
    assert all(held >= {ids[1], ids[6], ids[8]} and ids[2] not in held for held in first[1:])
    assert second == [{ids[1], ids[6], ids[8]}]
    assert trials.held[12] == {ids[1]}
    left = list_runs(home(tmp_path))
    assert [run.folder.name for run in left] == [ids[1]]
    assert held_by(left[0]) is None
    prune(home(tmp_path))
    assert len(list_runs(home(tmp_path))) == 1


def test_checkpoints_that_the_search_did_not_begin_stay(trials: Trials, tmp_path: Path) -> None:
    with begun(home(tmp_path), {"train.epochs": 9, "number": 3}) as run:
        write_checkpoint(run.folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": 1, "step": 7}))
        write_checkpoint(run.folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": 2, "step": 0}))
    make(tmp_path).run()
    assert {one.folder.name for one in list_runs(home(tmp_path))} == {trials.ids[1], run.folder.name}


def test_an_outcome_is_recorded_before_it_is_reported(trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(**given: Any) -> Any:
        on_reached.get()(trials(**given).data)
        number = int(given["experiment"].rpartition("-")[2]) - 1
        assert SearchRecord(tmp_path / "search.json").trials[number].epochs == given["until"]
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(pruned_search, "trial", lost)
    search = make(tmp_path)
    search.run()
    assert sorted(trials.trained) == sorted(EXPECTED)
    assert search.standing().state(0) == "finished"


@pytest.mark.parametrize("moment", [0, 1, 5, 9, 11, 12])
def test_a_killed_search_goes_on_and_trains_no_epoch_twice(trials: Trials, tmp_path: Path, moment: int) -> None:
    trials.killed_at = moment
    with pytest.raises(Killed):
        make(tmp_path).run()
    assert 'http-equiv="refresh"' not in (tmp_path / PAGE).read_text("utf-8")
    values = [one.values for _, one in sorted(SearchRecord(tmp_path / "search.json").trials.items())]
    trials.killed_at = 10**9
    search = make(tmp_path)
    search.run()
    assert trials.trained == EXPECTED
    found = [one.values for _, one in sorted(SearchRecord(tmp_path / "search.json").trials.items())]
    assert found[: len(values)] == values
    shutil.rmtree(tmp_path / ".dvc")
    (tmp_path / "search.json").unlink()
    make(tmp_path).run()
    undisturbed = [one.values for _, one in sorted(SearchRecord(tmp_path / "search.json").trials.items())]
    assert found == undisturbed


def test_a_finished_search_trains_nothing_unless_its_experiment_was_removed(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path).run()
    calls = len(trials.held)
    make(tmp_path).run()
    assert len(trials.held) == calls
    monkeypatch.setattr(pruned_search, "git", lambda *_: "")
    make(tmp_path).run()
    assert len(trials.held) == calls + 1  # DVC's cache has the result


def test_a_trial_that_fails_is_left_out(trials: Trials, tmp_path: Path) -> None:
    trials.failing = {1}
    search = make(tmp_path)
    search.run()
    assert sorted(trials.trained)[-1] == (9, 0, 1)
    assert [one for one in trials.trained if one[1]] == [(4, 1, 3), (6, 1, 3), (8, 1, 3), (8, 3, 9)]
    standing = search.standing()
    assert standing.state(0) == "failed: train: the loss became nan"
    assert table(standing).splitlines()[-1].endswith("| failed: train: the loss became nan |")


def test_a_trial_that_failed_is_tried_again_by_the_same_command(trials: Trials, tmp_path: Path) -> None:
    trials.failing = set(range(1, 10))
    search = make(tmp_path)
    search.run()
    assert {search.standing().state(number) for number in range(9)} == {"failed: train: the loss became nan"}
    trials.failing = set()
    search = make(tmp_path)
    search.run()
    assert sorted(trials.trained) == sorted(EXPECTED)
    assert search.standing().state(0) == "finished"


def test_too_little_space_stops_the_search_before_the_trials(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000))  # a run has 4 KB and some facts
    words = (
        r"^the checkpoints of \d more trials, which pause, need 0.0 GB, but the disk of .* has 0.0 GB free: free some space and"
    )
    with pytest.raises(UserError, match=words):
        make(tmp_path).run()
    assert len(trials.trained) < 9
    monkeypatch.undo()


def test_the_page_and_the_table_show_all_trials(trials: Trials, tmp_path: Path) -> None:
    search = make(tmp_path)
    search.run()
    during = trials.pages[10]  # one trial has trained to epoch 3, and another one trains there
    assert 'http-equiv="refresh"' in during
    assert during.count("trains to epoch 3") == during.count("paused at epoch 3") == 1
    page = (tmp_path / PAGE).read_text("utf-8")
    assert 'http-equiv="refresh"' not in page
    assert page.count("stopped at epoch 1") == 6
    assert (tmp_path / PAGE).with_name(".gitignore").read_text() == "*\n"
    lines = table(search.standing()).splitlines()
    head = "| experiment | lr | optimizer | epochs | validation loss | test accuracy (95 % interval) |"
    assert lines[0].split() == head.split()
    assert lines[2].startswith("| search-01 ")
    assert lines[3].startswith("| trial 8 ")
    assert lines[3].endswith("| stopped at epoch 3            |")
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("trials_given", "include_changes", "words"),
    [(2, False, "needs at least 3 trials"), (9, True, "pause and go on later, and an edit in between would change them")],
)
def test_a_search_that_cannot_prune_is_refused(trials_given: int, include_changes: bool, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_pruning(SPACE, trials_given, {"epochs": 9}, include_changes)
    assert check_pruning(SPACE, 9, {"epochs": 9}, False) == (1, 3, 9)
