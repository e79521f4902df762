"""The recommendations, for data and machines that are made up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from commands.advice.data_facts import DataFacts
from commands.advice.forecast import Timing
from commands.advice.mirror import MirrorTest
from commands.advice.parameters import with_values
from commands.advice.plan import Plan, make_plan
from commands.advice.rules import PHOTOGRAPHS as PHOTOGRAPHS_RECIPE
from commands.advice.rules import RULES, SIZES, Entry, Network, batch_size, candidates, enough, size_schedule
from tasks.training.changes import parameters
from tests.imports import ROOT

TEXT = (ROOT / "params.yaml").read_text("utf-8")
BASE = parameters(TEXT)
ALIKE = MirrorTest(1000, 560, 540, [], True)
PHOTOGRAPHS = DataFacts("photos", (3000, 340, 370), 10, 110, 800, 400, ALIKE)
SMALL = replace(PHOTOGRAPHS, short_side=32)
DIGITS = replace(PHOTOGRAPHS, short_side=8, mirror=MirrorTest(1000, 980, 360, ["2", "3"], False))
UNKNOWN = replace(PHOTOGRAPHS, mirror=MirrorTest(1000, 30, 30, [], None))


def machine(network: Network) -> Timing:
    """A step of ResNet-50 at 64 pixels takes 0.2 s; ResNet-18 is three times as fast; the small stem takes 16 times as long."""
    pixels = (network.size / 64) ** 2 * (16 if network.stem == "small" else 1) / (1 if network.depth == 50 else 3)
    return Timing(2.1, 2.0, 6.0, 0.2 * pixels, 0.002 * pixels)


def plan(data: DataFacts, minutes: float, base: Mapping[str, Any] = BASE) -> Plan:
    return make_plan(data, base, minutes, clock=machine, preparation=lambda size: 10.0)


def values(data: DataFacts, minutes: float, base: Mapping[str, Any] = BASE) -> dict[str, Any]:
    return {choice.name: choice.value for choice in plan(data, minutes, base).choices}


@pytest.mark.parametrize(
    ("data", "minutes", "expected"),
    [
        # An epoch at 64 pixels has 93 steps of 0.2 s and 340 images of 2 ms: 19.3 s. At 96 pixels 43 s, at 128 pixels 77 s,
        # at 160 pixels 121 s, at 192 pixels 174 s, at 224 pixels 236 s. All but the epochs takes about 50 s.
        (PHOTOGRAPHS, 8, {"preprocess.image_size": 64, "build.depth": 50, "train.epochs": 22, "train.flip": True}),
        (PHOTOGRAPHS, 30, {"preprocess.image_size": 96, "train.epochs": 40}),  # not 128 pixels and 22 epochs
        (PHOTOGRAPHS, 45, {"preprocess.image_size": 128, "build.depth": 50}),
        (PHOTOGRAPHS, 45, {"train.size_schedule": [64, 96, 128]}),
        (PHOTOGRAPHS, 8, {"train.size_schedule": []}),  # 64 pixels: smaller ones are not measured there
        (replace(PHOTOGRAPHS, images=(2900, 340, 370)), 45, {"preprocess.image_size": 128, "train.size_schedule": []}),
        (SMALL, 60, {"train.size_schedule": []}),
        # Not 224 pixels and 31 epochs, nor 192 and 42.
        (PHOTOGRAPHS, 125, {"preprocess.image_size": 160, "build.stem": "large", "train.balance": None, "train.crop": 0.35}),
        (PHOTOGRAPHS, 600, {"preprocess.image_size": 224, "train.epochs": 100}),
        (PHOTOGRAPHS, 4, {"preprocess.image_size": 64, "build.depth": 18, "train.epochs": 30}),
        (PHOTOGRAPHS, 2, {"build.depth": 18, "train.epochs": 11, "train.flip": True, "train.crop": 1.0}),
        (PHOTOGRAPHS, 4, {"train.epochs": 30, "train.crop": 1.0}),
        (PHOTOGRAPHS, 600, {"train.epochs": 100, "train.crop": 0.35}),  # crops cost accuracy in short runs only
        (SMALL, 60, {"preprocess.image_size": 32, "build.depth": 18, "build.stem": "small", "train.flip": True}),
        (SMALL, 5, {"preprocess.image_size": 32, "build.depth": 50, "build.stem": "large", "train.crop": 1.0}),
        (replace(SMALL, short_side=50), 5, {"preprocess.image_size": 56}),
        (DIGITS, 60, {"preprocess.image_size": 32, "build.stem": "large", "train.flip": False, "train.crop": 1.0}),
        (replace(DIGITS, short_side=400), 30, {"train.flip": False, "train.crop": 1.0}),
        (UNKNOWN, 30, {"train.flip": False}),
        (replace(PHOTOGRAPHS, short_side=100), 600, {"preprocess.image_size": 96}),
        (replace(PHOTOGRAPHS, rarest=50, largest=800), 30, {"train.balance": "weights"}),
        (replace(PHOTOGRAPHS, rarest=50, largest=800, multi_label=True), 30, {"train.balance": None}),
        (PHOTOGRAPHS, 30, {"preprocess.validation_share": None}),
        (replace(PHOTOGRAPHS, validation_share=0.16), 30, {"preprocess.validation_share": 0.16}),
        (SMALL, 0.5, {"train.flip": False, "train.crop": 1.0}),
        (replace(PHOTOGRAPHS, images=(40, 10, 10)), 10, {"train.batch_size": 8}),
    ],
)
def test_recommendations(data: DataFacts, minutes: float, expected: dict[str, Any]) -> None:
    found = values(data, minutes)
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 600])
@pytest.mark.parametrize("data", [PHOTOGRAPHS, SMALL, DIGITS, UNKNOWN, replace(PHOTOGRAPHS, images=(5, 2, 2))])
def test_every_recommendation_passes_the_checks_and_fits_into_the_time(
    data: DataFacts, minutes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    made = plan(data, minutes)
    with_values(TEXT, {"ingest.source": "photos"} | {choice.name: choice.value for choice in made.choices})
    assert made.forecast.minutes <= minutes or not made.epochs
    assert all(choice.why for choice in made.choices)


@pytest.mark.parametrize("minutes", [0.5, 2, 30])
@pytest.mark.parametrize("mirror", [ALIKE, DIGITS.mirror, UNKNOWN.mirror])
def test_no_figure_of_small_images_is_used_for_photographs(minutes: float, mirror: MirrorTest) -> None:
    made = plan(replace(PHOTOGRAPHS, mirror=mirror, rarest=50, largest=800), minutes)
    whys = {choice.name: choice.why for choice in made.choices if choice.name != "train.size_schedule"}
    assert not [why for why in whys.values() if "CIFAR" in why or "MNIST" in why or "digits" in why]
    assert not next(choice.measured for choice in made.choices if choice.name == "train.flip")
    assert "clothes" in whys["train.flip"] or mirror is not ALIKE
    assert "clothes" in whys["train.crop"] or mirror is DIGITS.mirror


def test_a_raised_share_of_validation_says_why_and_that_it_is_still_few() -> None:
    data = replace(PHOTOGRAPHS, images=(180, 44, 56), validation_share=0.16)
    (why,) = [choice.why for choice in plan(data, 30).choices if choice.name == "preprocess.validation_share"]
    assert why.startswith("0.1 leaves too few images to choose the epoch")
    assert "44 validation images are few" in why
    data = replace(data, images=(180, 1, 56))
    (why,) = [choice.why for choice in plan(data, 30).choices if choice.name == "preprocess.validation_share"]
    assert "1 validation image is too few: it alone chooses the epoch" in why


def test_no_time_for_an_epoch_gives_the_smallest_run_that_makes_sense() -> None:
    made = plan(PHOTOGRAPHS, 0.5)
    assert made.epochs == 0
    assert {choice.name: choice.value for choice in made.choices} == values(PHOTOGRAPHS, 0.5)
    assert values(PHOTOGRAPHS, 0.5)["train.epochs"] == 5
    assert made.forecast.minutes > 0.5


def test_a_start_from_other_weights_keeps_their_network() -> None:
    base = {**BASE, "build.weights": "../first.keras", "build.depth": 34, "build.stem": "small"}
    assert {(network.depth, network.stem) for network in candidates(PHOTOGRAPHS, base)} == {(34, "small")}
    assert values(PHOTOGRAPHS, 60, base)["build.weights"] == "../first.keras"


@pytest.mark.parametrize(("images", "devices", "expected"), [(128, 1, 32), (127, 1, 16), (20, 1, 4), (3, 1, 2), (20, 4, 4)])
def test_few_images_get_small_batches(images: int, devices: int, expected: int) -> None:
    base = {**BASE, "train.devices": devices}
    assert batch_size(replace(PHOTOGRAPHS, images=(images, 1, 1)), base) == expected


def test_parts_that_are_found_out_later_do_not_enlarge_the_batch() -> None:
    base = {**BASE, "train.accumulate": "auto"}
    assert batch_size(replace(PHOTOGRAPHS, images=(20, 1, 1)), base) == 4


def test_at_most_four_networks_are_measured() -> None:
    for minutes in (1, 4, 8, 30, 60, 600):
        assert 1 <= len(plan(PHOTOGRAPHS, minutes).timings) <= 4


def test_a_parameter_that_the_project_does_not_have_is_left_out() -> None:
    base = {name: value for name, value in BASE.items() if name != "train.flip"}
    assert len(values(PHOTOGRAPHS, 30, base)) == len(RULES) - 3  # two rules do not apply


def test_shares_of_a_recipe_become_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"train.size_schedule": Entry([0.5, 0.8, 1], "why"), "preprocess.training_size": Entry(1.25, "why")}
    monkeypatch.setattr("commands.advice.rules.PHOTOGRAPHS", {**PHOTOGRAPHS_RECIPE, **entries})
    found = values(PHOTOGRAPHS, 45)
    assert found["preprocess.image_size"] == 128
    # Multiples of 8 next to 64, 102.4, 128 and 160.
    assert (found["train.size_schedule"], found["preprocess.training_size"]) == ([64, 104, 128], 160)
    assert size_schedule(PHOTOGRAPHS, Network(50, "large", 128), 2) == []  # fewer epochs than sizes


def test_sizes_that_were_chosen_for_other_images_do_not_stay() -> None:
    base = {**BASE, "train.size_schedule": [200, 300], "preprocess.training_size": 400}
    found = values(PHOTOGRAPHS, 8, base)
    assert (found["train.size_schedule"], found["preprocess.training_size"]) == ([], None)


@pytest.mark.parametrize("images", [180, 900, 1500, 3000, 30_000])
@pytest.mark.parametrize("epochs", [5, 8, 20, 100])
def test_what_is_timed_has_the_sizes_that_are_recommended(images: int, epochs: int) -> None:
    # `advise` measures a network before it knows the epochs: with `enough`.
    data = replace(PHOTOGRAPHS, images=(images, 340, 370))
    for size in SIZES:
        network = Network(50, "large", size)
        assert size_schedule(data, network, enough(data, network)) == size_schedule(data, network, epochs)


def test_weights_of_classes_are_taken_back_where_images_have_several_labels() -> None:
    data = replace(PHOTOGRAPHS, rarest=50, largest=800, multi_label=True)
    assert values(data, 30, {**BASE, "train.balance": "weights"})["train.balance"] == "none"
