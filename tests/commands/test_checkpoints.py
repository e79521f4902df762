"""The list of training runs, and their removal."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
from tasks.training.fingerprint import fingerprint
from tasks.training.runs import begun, hold, list_runs
from tests.project import Project
from tests.tasks.training.test_runs import make


@pytest.fixture(scope="module")
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()


@pytest.fixture
def runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs of the project in the current folder."""
    monkeypatch.chdir(project.folder)
    return project.folder / ".dvc" / "tmp" / "checkpoints"


def test_runs_are_listed_and_removed(runs: Path, train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("checkpoints").stdout == "there are no checkpoints in .dvc/tmp/checkpoints\n"
    one, two = make(runs, epochs=3, at=4), make(runs, epochs=3, at=2, number=1, days=3)
    three = make(runs, epochs=5, at=1, number=2, days=4)
    first, second, _ = train_resnet("checkpoints").stdout.splitlines()
    assert re.fullmatch(rf"{one.folder.name}  \S+ \S+  finished \(3 epochs\), 0\.0 MB; differs in .* and \d+ more", first)
    assert re.fullmatch(rf"{two.folder.name}  \S+ \S+  epoch 2 of 3, step 0, 0\.0 MB; differs in .*", second)
    refused = train_resnet("checkpoints", "--remove", "xyz")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("checkpoints: no runs have an ID that begins with 'xyz', but it must be one;")
    train_resnet("checkpoints", "--remove", two.folder.name[:8], "--remove", three.folder.name)
    assert [run.folder for run in list_runs(runs)] == [one.folder]
    empty = train_resnet("checkpoints", "--remove", "")
    assert empty.stderr.startswith("checkpoints: --remove got an empty ID; expected the beginning of one:")
    assert [run.folder for run in list_runs(runs)] == [one.folder]
    assert train_resnet("checkpoints", "--all").stdout == f"removed {one.folder.name}\n"
    assert list_runs(runs) == []


def test_a_run_that_a_process_works_on_stays(runs: Path, train_resnet: Callable[..., Result]) -> None:
    with begun(runs, {"train.epochs": 3}) as run:
        name = run.folder.name
        listed = train_resnet("checkpoints").stdout
        assert re.fullmatch(
            rf"{name} .* no checkpoint yet, 0\.0 MB; process \d+ on \S+ in {Path.cwd()} \(.*\) works on it\n", listed, re.DOTALL
        )
        left = train_resnet("checkpoints", "--all").stdout
        assert re.fullmatch(rf"left {name}: process \d+ on .* works on it\n", left, re.DOTALL)
        assert train_resnet("checkpoints", "--remove", name).exit_code == 1
    assert train_resnet("checkpoints", "--all").stdout == f"removed {name}\n"


def test_a_run_that_a_search_holds_stays(runs: Path, train_resnet: Callable[..., Result]) -> None:
    run = make(runs, epochs=3, at=2)
    with hold(run):
        assert re.search(r"; process \d+ on .* will go on with it\n$", train_resnet("checkpoints").stdout, re.DOTALL)
        left = train_resnet("checkpoints", "--all").stdout
        assert re.fullmatch(rf"left {run.folder.name}: process \d+ on .* will go on with it\n", left, re.DOTALL)
        assert train_resnet("checkpoints", "--remove", run.folder.name).exit_code == 1
    assert train_resnet("checkpoints", "--all").stdout == f"removed {run.folder.name}\n"


def test_the_number_of_parts_that_a_run_found_out_is_no_difference(
    project: Project, runs: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(runs, {"train.epochs": 3, "train.accumulate": 4}):
        pass
    compared = list[tuple[Any, Any]]()

    def differences(now: Any, then: Any) -> list[str]:
        compared.append((now, then))
        return []

    monkeypatch.setattr("tasks.training.fingerprint.differences", differences)
    project.set(accumulate="auto")
    train_resnet("checkpoints")
    project.set(accumulate="1")
    train_resnet("checkpoints")
    assert [(now["train.accumulate"], then["train.accumulate"]) for now, then in compared] == [(4, 4), (1, 4)]
    train_resnet("checkpoints", "--all")


def test_a_finished_run_leaves_nothing_to_train(
    runs: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(runs, epochs=3, at=4)
    monkeypatch.setattr("tasks.training.fingerprint.differences", lambda *_: [])
    assert train_resnet("checkpoints").stdout.endswith("; the next run has nothing left to train\n")


def test_runs_of_the_store_are_listed_too(
    runs: Path, tmp_path: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_resnet("checkpoints", "--all")
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path))
    with begun(tmp_path, {"train.epochs": 3}) as run:  # the store is a folder of runs
        write_checkpoint(run.folder, Snapshot({}, {"epoch": 2, "step": 4}))
    nothing, stored = train_resnet("checkpoints").stdout.splitlines()
    assert nothing == "there are no checkpoints in .dvc/tmp/checkpoints"
    assert re.fullmatch(rf"{run.folder.name}  in the store  epoch 2 of 3, step 4; differs in .* and \d+ more", stored)
    monkeypatch.setattr("tasks.training.fingerprint.differences", lambda *_: [])
    assert train_resnet("checkpoints").stdout.endswith("in the store  epoch 2 of 3, step 4; the next run resumes from it\n")


def test_a_store_out_of_reach_does_not_hide_the_runs_of_this_host(
    runs: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(runs, epochs=3, at=2)
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "/dev/null/store")
    result = train_resnet("checkpoints")
    assert result.stdout.startswith(f"{run.folder.name}  ")
    assert (result.exit_code, result.stderr.startswith("checkpoints: TRAIN_RESNET_CHECKPOINT_REMOTE is /dev/null/store")) == (
        1,
        True,
    )
    train_resnet("checkpoints", "--all")


@pytest.mark.parametrize("facts", [{"train.epochs": 3, "a": "\x1b[2J"}, {"train.epochs": "\x1b[2J"}])
@pytest.mark.parametrize("named", [True, False])
def test_what_others_wrote_into_the_store_cannot_write_to_the_terminal(
    facts: dict[str, Any],
    named: bool,
    runs: Path,
    tmp_path: Path,
    train_resnet: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train_resnet("checkpoints", "--all")
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path))
    folder = tmp_path / (fingerprint(facts) if named else "0123456789abcdef")
    folder.mkdir()
    (folder / "facts.json").write_text(json.dumps(facts), "utf-8")
    write_checkpoint(folder, Snapshot({}, {"epoch": 2, "step": 4}))
    result = train_resnet("checkpoints")
    assert (result.exit_code, "\x1b" in result.output) == (0, False)
    readable = named and facts["train.epochs"] == 3
    said = "epoch 2 of 3, step 4; differs in " if readable else "epoch 2 of ?, step 4; what it was trained with cannot be read"
    assert f"{folder.name}  in the store  {said}" in result.stdout


def test_a_run_of_the_store_that_cannot_be_read_is_named_and_hides_no_other(
    runs: Path, tmp_path: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_resnet("checkpoints", "--all")
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path))
    (tmp_path / ("0" * 16)).mkdir()
    os.mkfifo(tmp_path / ("0" * 16) / "facts.json")
    with begun(tmp_path, {"train.epochs": 3}) as run:
        write_checkpoint(run.folder, Snapshot({}, {"epoch": 2, "step": 4}))
    result = train_resnet("checkpoints")
    _, unreadable, readable = result.stdout.splitlines()
    assert result.exit_code == 0
    assert unreadable == (
        f"{'0' * 16}  in the store  cannot be read "
        "(facts.json is a folder, a FIFO, a socket or a device, and a file is expected)"
    )
    assert readable.startswith(f"{run.folder.name}  in the store  epoch 2 of 3, step 4; ")


def test_a_store_that_is_a_file_is_one_sentence(
    runs: Path, tmp_path: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").touch()
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path / "store"))
    result = train_resnet("checkpoints")
    assert (result.exit_code, result.stderr) == (
        1,
        f"checkpoints: TRAIN_RESNET_CHECKPOINT_REMOTE is {tmp_path}/store, but that store cannot be used (it is a file, and a "
        "folder is expected): correct the address or the credentials, or unset the variable.\n",
    )
