"""Training on several devices; the processor is divided into two of them."""

import csv
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.network.model import ResNet
from tests.interrupted import BATCH, ENDED, RESUMED, TinyRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    run = TinyRun(tmp_path_factory.mktemp("run"))
    run.set(precision="float32", epochs="1", optimizer="sgd", weight_decay="0.01", mixup="0.2")
    return run


@pytest.fixture(autouse=True)
def forgotten(run: TinyRun) -> None:
    run.forget()


def results(run: TinyRun) -> tuple[list[np.ndarray], float]:
    """The weights as they were trained, and the training loss of the first epoch.

    The temperature is taken out of the head again: it depends on the moving statistics, which are those of one device.
    """
    model = keras.models.load_model(run.folder / "models/resnet.keras", custom_objects={"ResNet": ResNet})
    head = {id(variable) for variable in model.layers[-1].trainable_variables}
    weights = [one.numpy() * (model.temperature if id(one) in head else 1.0) for one in model.trainable_variables]
    rows = list(csv.DictReader((run.folder / "reports/history.csv").read_text("utf-8").splitlines()))
    return weights, float(rows[0]["loss"])


def test_two_devices_give_the_same_as_two_parts_one_after_another(run: TinyRun, tmp_path: Path) -> None:
    run.set(devices="2", accumulate="1", shift="0.2", cutmix="1")
    run.complete(devices=2, augmented=str(tmp_path / "augmented"))
    # Each device augments its half of the eight images, and the next image, with which the last one is mixed.
    assert (tmp_path / "augmented").read_text().split() == ["5", "5"]
    weights, loss = results(run)
    run.forget()
    run.set(devices="1", accumulate="2")
    run.complete()
    expected_weights, expected_loss = results(run)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for weight, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


@pytest.mark.parametrize("phases", [{"freeze_epochs": "0"}, {"weights": "old.keras", "freeze_epochs": "1", "ema": "0.9"}])
def test_a_run_on_two_devices_resumes_bit_for_bit(run: TinyRun, phases: dict[str, str]) -> None:
    run.set(devices="2", accumulate="2", optimizer="adam", epochs="2", precision="bfloat16", **phases)
    expected = run.complete(devices=2)
    run.forget()
    for place in ((1, 7), (2, 11)):
        assert run.join(run.start(stop_at=place, devices=2)) == 143
    assert run.complete(devices=2) == expected
    assert ENDED.findall(run.log) == RESUMED.findall(run.log) == [("1", "7"), ("2", "11")]


def test_too_many_devices_are_refused_in_one_sentence(run: TinyRun) -> None:
    run.set(devices="4")
    assert run.join(run.start()) == 1
    assert run.log.splitlines()[-1] == (
        "train: train.devices is 4, but TensorFlow finds no GPU: set it to 1, or run `train-resnet doctor` to see why."
    )


def test_too_few_images_for_a_batch_are_refused_before_the_run_has_a_folder_or_a_page(run: TinyRun) -> None:
    params = run.folder / "params.yaml"
    text = params.read_text("utf-8")
    params.write_text(text.replace(f"batch_size: {BATCH}", "batch_size: 4000", 1), "utf-8")
    code = run.join(run.start())
    params.write_text(text, "utf-8")
    assert code == 1
    refused = r"train: train\.batch_size is 4000, but there are only \d+ training images: lower it or add images\."
    assert re.fullmatch(refused, run.log.splitlines()[-1])
    assert not [*run.checkpoints.glob("*/")]
    assert not (run.folder / "live").exists()


def test_a_batch_that_cannot_be_divided_evenly_is_refused(run: TinyRun) -> None:
    run.set(devices="3", accumulate="1")
    assert run.join(run.start()) == 1
    assert "train.batch_size is 8, which cannot be divided into train.devices x train.accumulate = 3 x 1" in run.log
    assert Path(run.folder / "models/resnet.keras").exists() is False
