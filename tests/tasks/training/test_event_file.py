"""Event files, as TensorBoard reads them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tasks.training.event_file import EventFile, draw_counts

FIGURES = {"accuracy": 0.75, "learning_rate": 0.01, "images_per_second": 8.0}


def step(epoch: int, number: int, loss: float) -> dict[str, Any]:
    return {"event": "step", "time": 5.0, "epoch": epoch, "step": number, "steps": 9, "loss": loss, **FIGURES}


def epoch(number: int, confusion: list[list[int]] | None = None) -> dict[str, Any]:
    validation = {"val_loss": 0.25, "val_accuracy": 1.0, "seconds": 3.0, "confusion": confusion}
    return {"event": "epoch", "time": 6.0, "epoch": number, "loss": 0.5, **FIGURES, **validation}


def read(folder: Path) -> Any:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def test_tensorboard_reads_each_point_at_once(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.point(step(2, 3, 0.5), 9)
    found = read(tmp_path)
    assert [(one.wall_time, one.step, one.value) for one in found.Scalars("step/loss")] == [(5.0, 12, 0.5)]
    file.point(epoch(2, [[3, 1], [0, 4]]), 9)
    file.images("images", 1, np.zeros((4, 32, 32, 3), np.uint8))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("epoch/val_loss")] == [(2, 0.25)]
    assert found.Scalars("step/learning_rate")[0].value == pytest.approx(0.01)
    assert [(one.width, one.height) for one in found.Images("images")] == [(4 * 34, 32)]
    (matrix,) = found.Images("validation/confusion_matrix")
    pixels = np.asarray(Image.open(io.BytesIO(matrix.encoded_image_string)))
    assert pixels.shape == (32, 32, 3)
    assert pixels[31, 0].tolist() == [255, 255, 255]  # no image of the second class was taken for the first
    assert pixels[31, 31].tolist() == [46, 112, 191]


def test_a_second_process_replaces_the_points_of_the_first(tmp_path: Path) -> None:
    first = EventFile(tmp_path)
    for number in (1, 2, 3):
        first.point(step(1, number, 1.0), 9)
    first.point(epoch(1), 9)
    second = EventFile(tmp_path)  # resumes from step 2
    for number in (1, 2, 3, 4):
        second.point(step(1, number, 2.0), 9)
    found = read(tmp_path)
    assert [(one.step, one.value) for one in found.Scalars("step/loss")] == [(1, 2.0), (2, 2.0), (3, 2.0), (4, 2.0)]
    assert "epoch/loss" not in found.Tags()["scalars"] or found.Scalars("epoch/loss") == []


def test_the_file_before_stays_and_older_ones_go(tmp_path: Path) -> None:
    for _ in range(4):
        EventFile(tmp_path)
    assert sorted(path.name[-6:] for path in tmp_path.iterdir()) == ["000003", "000004"]


def test_parameters_and_end_are_messages_of_tensorboard(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.parameters("h\u00f6t", {"train.rate": 0.01, "train.flip": True, "build.depth": 50, "build.weights": "w" * 300})
    file.close(finished=True)
    found = read(tmp_path)
    assert found.PluginTagToContent("hparams").keys() == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    start = HParamsPluginData.FromString(found.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    values = start.session_start_info.hparams
    assert (values["train.rate"].number_value, values["train.flip"].bool_value) == (0.01, True)
    assert (values["build.depth"].number_value, values["build.weights"].string_value) == (50.0, "w" * 300)
    assert start.session_start_info.group_name == "h\u00f6t"
    assert start.session_start_info.start_time_secs > 1e9
    end = HParamsPluginData.FromString(found.PluginTagToContent("hparams")["_hparams_/session_end_info"])
    assert (end.session_end_info.status, end.session_end_info.end_time_secs > 1e9) == (1, True)


def test_a_folder_that_cannot_be_written_is_an_error_of_tensorflow(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.OpError):
        EventFile(Path("/proc/nothing"))


def test_the_cells_of_many_classes_are_smaller() -> None:
    assert draw_counts(np.eye(2)).shape == (32, 32, 3)
    assert draw_counts(np.eye(100)).shape == (500, 500, 3)
    assert draw_counts(np.zeros((2, 2)))[0, 0].tolist() == [255, 255, 255]
