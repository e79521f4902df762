"""The parameters of `train`."""

import os
import re
import signal
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.network.precision import PRECISIONS
from resnet.training.optimizers import OPTIMIZERS, SCHEDULES
from resnet.training.recipe import Recipe
from tasks import train
from tasks.build import Build
from tasks.ingest import Ingest
from tasks.stage import signals
from tasks.stage.params import Params
from tasks.train import Train
from tasks.training.labels import Labels
from tests.parameters import PREPROCESS

VALUES: dict[str, Any] = {
    "epochs": 4,
    "restarts": [],
    "size_schedule": [],
    "batch_size": 8,
    "precision": "auto",
    "devices": 1,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "momentum": 0.8,
    "weight_decay": 0.003,
    "label_smoothing": 0.2,
    "shift": 0.15,
    "flip": True,
    "balance": "none",
    "crop": 1.0,
    "trivial_augment": False,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": 0.0,
    "accumulate": 1,
    "freeze_epochs": 0,
    "unfrozen_rate": 0.1,
    "patience": 0,
    "budget_minutes": 0.0,
}


def params(*, source: str = "photos", weights: str = "old.keras", training_size: int | None = None, **changes: Any) -> Params:
    """All parameters with these changes."""
    columns: dict[str, Any] = {"path_column": "auto", "label_column": "auto", "image_folder": "auto", "multi_label": "auto"}
    ingest = Ingest(
        source=source, on_bad="fail", max_rejected=0.1, max_pixels=10, min_images_per_class=1, class_level="auto", **columns
    )
    network: dict[str, Any] = {"depth": 50, "variant": "v1", "stem": "auto", "blocks": None, "width": 64, "momentum": 0.9}
    build = Build(**network, zero_init_last_gamma=True, weights=weights)
    preprocess = PREPROCESS.model_copy(update={"image_size": 96, "training_size": training_size})
    return Params(0, {"ingest": ingest, "preprocess": preprocess, "build": build, "train": Train(**(VALUES | changes))})


def check(whole: Params) -> None:
    whole.section(Train).check(whole)


def test_every_optimizer_can_be_chosen() -> None:
    assert get_args(Train.model_fields["optimizer"].annotation) == OPTIMIZERS


def test_every_precision_can_be_chosen() -> None:
    assert get_args(Train.model_fields["precision"].annotation) == ("auto", *PRECISIONS)


def test_the_recipe_has_all_parameters_that_the_trainer_needs() -> None:
    assert asdict(Train(**VALUES).recipe()) == {
        name: value for name, value in VALUES.items() if name not in ("batch_size", "precision", "devices")
    }
    assert len(fields(Recipe)) == len(VALUES) - 3


def test_flips_are_refused_for_the_built_in_digits_only() -> None:
    check(params(flip=True))
    check(params(source="builtin/digits", flip=False))
    with pytest.raises(UserError, match="train.flip is true, but the mirror image of a digit is not the same digit"):
        check(params(source="builtin/digits", flip=True))


def test_alternating_flips_are_refused_for_digits_too() -> None:
    check(params(flip="alternate"))
    with pytest.raises(UserError, match="train.flip is alternate, but the mirror image of a digit"):
        check(params(source="builtin/digits", flip="alternate"))


def test_one_cycle_has_no_restarts() -> None:
    check(params(schedule="one_cycle"))
    with pytest.raises(
        UserError, match=r"train.restarts is \[2\] and train.schedule one_cycle, but the one cycle is the whole"
    ):
        check(params(schedule="one_cycle", restarts=[2]))


@pytest.mark.parametrize(("optimizer", "batch", "rate"), [("sgd", 128, 0.2), ("adam", 32, 0.002), ("adamw", 128, 0.004)])
def test_an_automatic_rate_follows_optimizer_and_batch(optimizer: str, batch: int, rate: float) -> None:
    one = Train(**(VALUES | {"learning_rate": "auto", "optimizer": optimizer, "batch_size": batch}))
    assert one.recipe().learning_rate == pytest.approx(rate)


def test_automatic_parts_begin_with_the_whole_batch() -> None:
    one = Train(**(VALUES | {"accumulate": "auto"}))
    assert (one.recipe().accumulate, one.parts, Train(**(VALUES | {"accumulate": 4})).parts) == (1, 1, 4)
    check(params(accumulate="auto", devices=2))
    with pytest.raises(UserError, match=r"train.batch_size is 8, which cannot be divided into .* = 3 x 1 equal parts"):
        check(params(accumulate="auto", devices=3))


class EndedAtOnceError(BaseException):
    """Stands in for the end of the process."""


def test_a_signal_ends_the_trial_of_parts_at_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def end(code: int) -> None:
        raise EndedAtOnceError(code)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(signals, "_received", None)
    monkeypatch.setattr(train, "parts_that_fit", lambda *_: signals._on_signal(signal.SIGTERM, None))
    none: Any = None
    with pytest.raises(EndedAtOnceError, match="143"):
        train._in_parts(lambda: none, none, Train(**(VALUES | {"accumulate": "auto"})), {})
    assert "ended by SIGTERM" in capfd.readouterr().err


def test_every_schedule_can_be_chosen() -> None:
    assert get_args(Train.model_fields["schedule"].annotation) == SCHEDULES


def test_random_weights_are_not_frozen() -> None:
    check(params(freeze_epochs=1))
    check(params(weights="builtin/random"))
    with pytest.raises(UserError, match="train.freeze_epochs is 1, but build.weights is builtin/random"):
        check(params(weights="builtin/random", freeze_epochs=1))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"size_schedule": [64, 128]},
            "train.size_schedule has 128 pixels, but the training images have 96: lower it or raise",
        ),
        (
            {"size_schedule": [32, 48, 64, 80, 96]},
            "train.size_schedule has 5 sizes, which need as many epochs, but train.epochs is 4: leave",
        ),
        (
            {"size_schedule": [32, 64], "restarts": [3]},
            "train.size_schedule has 2 sizes, which need as many epochs, but the shortest phase of train.restarts has 1",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        check(params(**changes))


def test_the_last_size_may_be_below_that_of_testing() -> None:
    check(params(size_schedule=[48, 64, 80]))
    check(params(size_schedule=[64, 96], restarts=[2]))


def test_sizes_may_be_as_large_as_the_stored_images() -> None:
    check(params(size_schedule=[64, 128], training_size=128))
    with pytest.raises(UserError, match="train.size_schedule has 128 pixels, but the training images have 112"):
        check(params(size_schedule=[64, 128], training_size=112))


def test_a_calibration_without_enough_memory_names_the_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("resnet.training.finishing.finish", exhaust)
    none: Any = None
    with pytest.raises(UserError, match=r"^the calibration with 64 images at a time .*: lower train.batch_size.$"):
        train._finish(none, (none, none), Labels(["a", "b"], None), tmp_path, batch_size=64, precision="float32")


@pytest.mark.parametrize("reason", ["", "there are no validation images"])
def test_it_says_why_there_is_no_known_score(
    reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("resnet.training.finishing.finish", lambda *_, **__: reason)
    monkeypatch.setattr("resnet.network.saving.save_model", lambda *_: None)
    none: Any = None
    model: Any = SimpleNamespace(temperature=2.0, multi_label=False)
    train._finish(model, (none, none), Labels(["a", "b"], None), tmp_path, batch_size=1, precision="float32")
    sentence = "train: the model has no known score, which `predict --unknown` needs, because there are no validation images\n"
    assert "".join(capsys.readouterr()) == (sentence if reason else "")
