"""Successive halving by numbers that were computed by hand, and what a search that prunes refuses."""

import math
from typing import Any

import pytest

from flows.halving import Plan, best, deciding, epochs_in_all, rungs, rungs_of, sizes
from resnet.core.errors import UserError


@pytest.mark.parametrize(
    ("epochs", "settling", "expected"),
    [
        (90, 0, (10, 30, 90)),
        (30, 0, (3, 10, 30)),
        (30, 1, (3, 10, 30)),
        (30, 5, (6, 10, 30)),
        (10, 1, (2, 3, 10)),
        (6, 0, (1, 2, 6)),
    ],
)
def test_rungs_are_a_ninth_and_a_third_of_the_epochs_but_after_the_warm_up(
    epochs: int, settling: int, expected: tuple[int, ...]
) -> None:
    assert rungs(epochs, settling) == expected


def test_too_few_epochs_are_refused_with_the_least_number() -> None:
    words = (
        "^train.epochs is 8, of which 1 warms up or trains the head alone, but a search that prunes compares its trials after "
        "two earlier epochs too: set it to 9 or more, or leave out prune.$"
    )
    with pytest.raises(UserError, match=words):
        rungs(8, 1)
    assert rungs(9, 1) == (2, 3, 9)
    with pytest.raises(UserError, match="^train.epochs is 5, but a search that prunes .*: set it to 6 or more,"):
        rungs(5, 0)


@pytest.mark.parametrize(
    ("trials", "expected", "ends", "epochs"),
    [
        # Rungs at 3, 10 and 30: 20 * 3 + 6 * 7 + 2 * 20; 9 * 3 + 3 * 7 + 20; 5 * 3 + 27, with nothing to decide at 10
        (20, [20, 6, 2], (3, 10, 30), 142),
        (9, [9, 3, 1], (3, 10, 30), 68),
        (5, [5, 1, 1], (3, 30), 42),
        (3, [3, 1, 1], (3, 30), 36),
    ],
)
def test_a_third_of_the_trials_goes_on_from_each_rung(
    trials: int, expected: list[int], ends: tuple[int, ...], epochs: int
) -> None:
    assert sizes(trials) == expected
    kept, counts = deciding((3, 10, 30), expected)
    assert kept == ends
    assert epochs_in_all(counts, kept) == epochs


def test_two_trials_are_too_few_to_choose_from() -> None:
    with pytest.raises(UserError, match="^trials is 2, but a search that prunes needs at least 3 trials to choose from.$"):
        sizes(2)


def test_the_lowest_losses_go_on_and_of_equal_ones_the_earlier_trial() -> None:
    losses = {0: 0.5, 1: 0.2, 2: math.inf, 3: 0.2, 4: math.nan, 5: 0.1}
    assert [best(losses, count) for count in (1, 2, 3, 6)] == [[5], [1, 5], [1, 3, 5], [0, 1, 3, 5]]


PARAMS: dict[str, Any] = {"epochs": 30, "restarts": [], "warmup_epochs": 0.5, "freeze_epochs": 0, "patience": 0}


def test_the_parameters_of_train_give_the_rungs() -> None:
    assert rungs_of({**PARAMS, "budget_minutes": 0}, ["train.learning_rate"]) == (3, 10, 30)
    assert rungs_of({**PARAMS, "freeze_epochs": 4}, ["seed"]) == (6, 10, 30)  # half an epoch of warm-up counts as one
    assert rungs_of({"epochs": 30}, []) == (3, 10, 30)  # an old revision


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"restarts": [10]},
            "^train.restarts is \\[10\\], but in a search that prunes trials are compared within one schedule: set",
        ),
        (
            {"patience": 3},
            "^train.patience is 3, but in a search that prunes the search ends trials itself: set it to 0 and commit",
        ),
        (
            {"budget_minutes": 5},
            "^train.budget_minutes is 5, but in a search that prunes trials are compared by epochs, which must",
        ),
    ],
)
def test_what_ends_a_run_by_itself_or_by_time_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        rungs_of({**PARAMS, **changed}, ["train.learning_rate"])
    (name,) = changed
    with pytest.raises(UserError, match=f"^train.{name} is searched, but with prune the search ends trials itself"):
        rungs_of(PARAMS, [f"train.{name}"])


@pytest.mark.parametrize("name", ["train.epochs", "train.warmup_epochs", "train.freeze_epochs"])
def test_schedules_of_other_lengths_cannot_be_compared(name: str) -> None:
    with pytest.raises(
        UserError, match=f"^{name} is searched, but a search that prunes compares its trials after the same epochs"
    ):
        rungs_of(PARAMS, [name])


def test_the_plan_says_what_it_saves() -> None:
    plan = Plan({}, (3, 10, 30), [20, 6, 2], 0, "commit", "search", 1)
    assert plan.sentence() == ("Trials that train: 20 to epoch 3, 6 to epoch 10, 2 to epoch 30; 142 epochs instead of 600.")
