"""The search: its space, its proposals and its checks, with a stand-in for the runs."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from flows import search
from flows.child_runs import Child
from flows.halving import Plan
from flows.search import check_search, make_space
from resnet.core.errors import UserError
from tests.flows.quick import make_child


def test_a_search_proposes_within_its_space_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna").logging.set_verbosity(30)
    tried: list[Mapping[str, Any]] = []

    def fake(proposals: Iterable[Mapping[str, Any]], *_: Any) -> Iterator[Child]:
        for number, proposal in enumerate(proposals, 1):
            tried.append(dict(proposal))
            loss = None if number == 3 else (proposal["lr"] - 0.01) ** 2 + (proposal["opt"] == "bad")
            yield make_child(number, loss, **proposal)

    ended: list[list[Child]] = []
    monkeypatch.setattr(search, "runner", lambda *_: fake)
    monkeypatch.setattr(search, "check", lambda *_: None)
    monkeypatch.setattr(search, "conclude", lambda children, **_: ended.append(children))
    space: dict[str, Any] = {"between": {"n": [2, 5]}, "between_log": {"lr": [0.0001, 1.0]}, "among": {"opt": ["good", "bad"]}}
    search.search.fn(**space, trials=40)
    assert len(tried) == len(ended[0]) == 40
    assert all(0.0001 <= one["lr"] <= 1 and one["n"] in (2, 3, 4, 5) and one["opt"] in ("good", "bad") for one in tried)
    assert sum(one["opt"] == "good" for one in tried[20:]) > 14  # by chance it would be 10
    first = list(tried)
    tried.clear()
    search.search.fn(**space, trials=40)
    assert tried == first


def test_integers_are_proposed_only_between_two_integers() -> None:
    pytest.importorskip("optuna")
    space = make_space({"whole": [2, 5], "mixed": [2, 5.5]}, {"log": [1, 100]}, {"choice": ["sgd", "adam"]})
    assert {name: type(values).__name__ for name, values in space.items()} == {
        "whole": "IntDistribution",
        "mixed": "FloatDistribution",
        "log": "IntDistribution",
        "choice": "CategoricalDistribution",
    }
    assert [getattr(space[name], "log", None) for name in ("whole", "mixed", "log")] == [False, False, True]


@pytest.mark.parametrize("ends", [[1], [2, 1], ["a", "b"], [1, 2, 3]])
def test_an_invalid_range_is_refused(ends: list[Any]) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(
        UserError, match=r"^the range of lr must be two numbers, LOW,HIGH, the lower one first, but it is \[[^.]*\]\.$"
    ):
        make_space({"lr": ends}, {}, {})


def test_a_logarithmic_range_is_above_0() -> None:
    pytest.importorskip("optuna")
    words = r"^the range of lr must be two numbers, LOW,HIGH, the lower one first and above 0, but it is \[0, 1\]\.$"
    with pytest.raises(UserError, match=words):
        make_space({}, {"lr": [0, 1]}, {})


def test_a_search_without_values_or_parameters_is_refused() -> None:
    pytest.importorskip("optuna")
    with pytest.raises(
        UserError, match="^the list of values for optimizer is empty; give at least one, as in optimizer=A,B,C.$"
    ):
        make_space({}, {}, {"optimizer": []})
    with pytest.raises(UserError, match="^a search needs at least one parameter, as in --between-log"):
        make_space({}, {}, {})


def test_a_search_without_optuna_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    with pytest.raises(UserError, match=r"run `pip install -e '\.\[search\]'`.$"):
        make_space({"lr": [0, 1]}, {}, {})


def test_both_ends_of_every_range_are_checked_before_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    checked: list[Any] = []

    def check(proposals: Iterable[Mapping[str, Any]], *_: Any) -> str:
        checked.extend(proposals)
        return "commit"

    monkeypatch.setattr(search, "check", check)
    space = make_space({"epochs": [1, 9]}, {}, {"optimizer": ["sgd", "adam", "adamw"]})
    assert check_search(space, 1, 1, "HEAD", False) == "commit"
    assert checked == [{"epochs": 1, "optimizer": "sgd"}, {"epochs": 9, "optimizer": "adamw"}]
    with pytest.raises(UserError, match="^trials, the number of runs, must be at least 1, but it is 0.$"):
        check_search(space, 0, 1, "HEAD", False)
    for seed in (-1, 2**32):
        with pytest.raises(UserError, match=f"^seed must be a whole number from 0 to 4294967295, but it is {seed}.$"):
            check_search(space, 1, 1, "HEAD", False, seed=seed)
    checked.clear()
    check_search(space, 1, 1, "HEAD", False, overrides={"batch": 8})
    assert checked[1] == {"batch": 8, "epochs": 9, "optimizer": "adamw"}
    with pytest.raises(UserError, match="^epochs is searched, so it cannot be set too: leave out one of them.$"):
        check_search(space, 1, 1, "HEAD", False, overrides={"epochs": 8})


def test_what_is_set_reaches_every_run_and_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    tried: list[dict[str, Any]] = []

    def fake(proposals: Iterable[Mapping[str, Any]], *_: Any) -> Iterator[Child]:
        for number, proposal in enumerate(proposals, 1):
            tried.append(dict(proposal))
            yield make_child(number, 1.0, **proposal)

    monkeypatch.setattr(search, "runner", lambda *_: fake)
    monkeypatch.setattr(search, "check", lambda *_: None)
    monkeypatch.setattr(search, "conclude", lambda _, **options: None)
    search.search.fn(between={"x": [0, 9]}, overrides={"train": {"epochs": 3}}, trials=12)
    assert [one["train.epochs"] for one in tried] == [3] * 12


def test_the_parameters_of_train_have_the_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "git", lambda *_: "train: {epochs: 10, warmup_epochs: 1}")
    found = search.train_params("HEAD", {"train.epochs": 27, "build.depth": 18, "train": {"warmup_epochs": 0}})
    assert found == {"epochs": 27, "warmup_epochs": 0}


@pytest.mark.parametrize(
    ("name", "first", "warned"),
    [("train.learning_rate", 2, True), ("train.learning_rate", 5, False), ("train.shift", 2, False)],
)
def test_a_short_first_part_warns_of_learning_rates(
    name: str, first: int, warned: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def refuse(*_: Any) -> None:
        raise Stop

    monkeypatch.setattr(search, "PrunedSearch", refuse)
    with pytest.raises(Stop):
        search.search_pruned(Plan({name: None}, (first, 45), [3, 1], 0, "c", "s", 1), None)  # type: ignore[arg-type]
    assert capsys.readouterr().out.count("warning: train.learning_rate is searched") == warned


def test_the_command_reports_a_mistake_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    assert search.main(["--between", "train.learning_rate=2,1"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("the range of train.learning_rate must be two numbers")
    assert shown.count("\n") == 1


def test_a_search_that_cannot_prune_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    assert search.main(["--prune", "--between", "train.epochs=20,30"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(
        "train.epochs is searched, but a search that prunes compares its trials after the same epochs of equal"
    )
    assert shown.count("\n") == 1
    assert search.main(["--prune", "--trials", "2", "--between-log", "train.learning_rate=0.001,0.1"]) == 1
    assert capsys.readouterr().err == "trials is 2, but a search that prunes needs at least 3 trials to choose from.\n"


def test_a_search_that_prunes_stays_on_one_machine() -> None:
    search.check_place("", True)
    search.check_place("train-resnet-gpu", False)
    with pytest.raises(UserError, match="which are on one machine: leave out the pool or prune"):
        search.check_place("train-resnet-gpu", True)
