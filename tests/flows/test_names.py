"""Names of runs: what they change, and which names are replaced."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.utilities.names import generate_slug

from flows import names
from flows.checkout import experiment_name
from flows.names import LIMIT, changes, describe_run, describe_search, describe_sweep, is_made_up, naming, short_names


@pytest.fixture(autouse=True)
def commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision `main` is 1a2b3c4, any other does not exist."""
    commits = {"HEAD^{commit}": "0a0b0c0", "main^{commit}": "1a2b3c4", "0a0b0c0d^{commit}": "0a0b0c0"}
    monkeypatch.setattr(names, "git_or_none", lambda *arguments: commits.get(arguments[-1]))


def test_the_names_that_prefects_server_makes_up_are_recognised() -> None:
    made = [generate_slug(2) for _ in range(300)]
    assert [name for name in made if not is_made_up(name)] == []


@pytest.mark.parametrize("name", ["Small-Beetle", "Intelligent-Onager", "Unbranded-Cat", "zeta6-alkes", "eta6-wundt-conflux"])
def test_the_names_that_the_forms_of_the_ui_make_up_are_recognised(name: str) -> None:
    assert is_made_up(name)


@pytest.mark.parametrize(
    "name", ["low-rate", "beta-test", "first", "watched", "run-2", "my photos", "epochs=3", "Low-rate", "a-b-c", "", "-"]
)
def test_a_name_that_a_person_gave_is_not(name: str) -> None:
    assert not is_made_up(name)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"train.epochs": 3, "train.learning_rate": 0.01}, "epochs=3 lr=0.01"),
        ({"train.batch_size": 8, "evaluate.batch_size": 9}, "train.batch_size=8 evaluate.batch_size=9"),
        ({"train.learning_rate": 0.02693883019285411, "train.ema": 1e-05}, "lr=0.0269388 ema=1e-05"),
        ({"train.batch_size": 8}, "train.batch_size=8"),  # evaluate has one too
        (
            {"seed": 1, "build.blocks": [1, 1], "train.flip": True, "evaluate.baseline": None},
            "seed=1 blocks=[1, 1] flip=true baseline=null",
        ),
        ({"ingest.source": "/data/of/all/photographs.zip"}, "source=…/of/all/photographs.zip"),
        ({"ingest.source": "a\x1b[0m\nb"}, r"source=a\x1b[0m\nb"),
        ({"other.unknown": "x"}, "unknown=x"),
    ],
)
def test_a_run_is_named_by_what_it_changes(overrides: Mapping[str, Any], expected: str) -> None:
    assert changes(overrides) == expected
    assert describe_run({"overrides": overrides}) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "defaults @ 0a0b0c0"),
        ({"overrides": None, "rev": "main"}, "defaults @ 1a2b3c4"),
        ({"rev": "gone"}, "defaults @ gone"),
        ({"overrides": {"train": {"epochs": 3}, "seed": None}}, "epochs=3"),
        ({"overrides": {"train.epochs": None}}, "defaults @ 0a0b0c0"),
        ({"overrides": {"seed": 1}, "rev": "main"}, "seed=1 @ 1a2b3c4"),
        ({"overrides": {"seed": 1}, "rev": "0a0b0c0d"}, "seed=1"),  # what HEAD is, as for the runs of a sweep
        ({"in_place": True}, "defaults @ 0a0b0c0 in place"),
        ({"include_changes": True, "overrides": {"seed": 1}}, "seed=1 + changes"),
    ],
)
def test_the_revision_is_named_where_it_matters(given: Mapping[str, Any], expected: str) -> None:
    assert describe_run(given) == expected


def test_names_are_never_long() -> None:
    many = {f"train.parameter_{number}": "x" * 1000 for number in range(50)}
    assert len(changes({"a": "x" * 1000})) < 30
    for made in (
        describe_run({"overrides": many}),
        describe_sweep({"grid": {name: [1] for name in many}}),
        describe_search({"among": {name: [1] for name in many}}),
    ):
        assert LIMIT - 1 <= len(made) <= LIMIT + 30


def test_a_sweep_and_a_search_are_named_by_their_parameters() -> None:
    assert describe_sweep({"grid": {"train.learning_rate": [0.1, 0.2], "seed": [0]}}) == "sweep lr=0.1,0.2 x seed=0"
    given = {"between": None, "between_log": {"train.learning_rate": [0.1, 1]}, "among": {"train.optimizer": ["sgd"]}}
    assert describe_search({**given, "trials": 7}) == "search lr optimizer: 7 trials"
    assert describe_search({**given, "trials": 1}) == "search lr optimizer: 1 trial"
    assert describe_sweep({"grid": {"train": {"epochs": [1, 2]}, "seed": None}}) == "sweep epochs=1,2"


def test_an_experiment_of_a_sweep_is_named_by_values_and_not_by_counts_that_look_like_values() -> None:
    sweep = describe_sweep({"grid": {"seed": [0, 1], "train.epochs": [1]}})
    assert experiment_name(f"{sweep}-01", "") == "sweep-seed-0-1-x-epochs-1-01"
    many = describe_sweep({"grid": {"seed": list(range(40)), "train.flip": [False]}})
    assert experiment_name(f"{many}-07", "") == "sweep-seed-40-values-x-flip-false-07"
    one = describe_sweep({"grid": {"ingest.source": ["/data/of/all/photographs.zip"]}})
    assert one == "sweep source=…/of/all/photographs.zip"


def test_two_parameters_with_one_last_part_keep_their_sections() -> None:
    assert short_names(["a.x", "b.x", "a.y"]) == {"a.x": "a.x", "b.x": "b.x", "a.y": "y"}


@pytest.mark.parametrize(("present", "expected"), [("giga-tiger", "seed=1"), ("low-rate", "low-rate"), (None, "run")])
def test_prefect_gets_the_given_name_or_the_description(
    present: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "flow_run", SimpleNamespace(name=present, parameters={"overrides": {"seed": 1}}))
    assert naming(describe_run)() == expected
