"""An event file for TensorBoard, written without the package `tensorboard`.

TensorFlow has the records (TFRecord) and the messages (`tensorflow/core/util/event.proto`), and TensorBoard still reads scalars
and images in their first form, `simple_value` and `image`. The parameters for its page HParams are messages of TensorBoard's
own (`tensorboard/plugins/hparams/plugin_data.proto`); they have few fields, which are encoded here.

A process starts a new file, which begins with `SessionLog.START` at step 0: TensorBoard then drops what it has read of the run.
All points of the run follow, so a resumed run has each point once, whatever a killed process wrote after its last checkpoint.
"""

import io
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.struct_pb2 import Value
from PIL import Image

from tasks.training.points import Event

_Message = tf.compat.v1.Event
_Log = tf.compat.v1.SessionLog
_Summary = tf.compat.v1.Summary
_STEP = ("loss", "accuracy", "learning_rate", "images_per_second")
_EPOCH = ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "seconds")
_SUCCESS, _FAILURE = 1, 2  # enum Status of api.proto
_CELL = 16  # pixels of a cell of the confusion matrix, at most


class EventFile:
    """The event file of one process. Each point is written at once.

    Args:
        folder: of the run. The file of the process before stays, because TensorBoard may be reading it; older ones go.

    Raises:
        tf.errors.OpError: here and in all methods, if the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        older = sorted(folder.glob("events.out.tfevents.*"))
        number = int(older[-1].name.rpartition(".")[2]) + 1 if older else 1
        self._writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{number:06d}"))
        self._write(time.time(), file_version="brain.Event:2")
        self._write(time.time(), step=0, session_log=_Log(status=_Log.START))
        for path in older[:-1]:
            path.unlink(missing_ok=True)

    def parameters(self, name: str, values: Mapping[str, Any]) -> None:
        """Adds the parameters of the run, for the page HParams."""
        entries = b""
        for key, value in values.items():
            entries += _field(1, _field(1, key.encode()) + _field(2, _value(value).SerializeToString()))
        info = entries + _field(4, name.encode()) + _double(5, time.time())
        self._hparams("_hparams_/session_start_info", _field(3, info))

    def point(self, event: Event, steps: int) -> None:
        """Adds an event `step` or `epoch`. Steps are counted from the start of training.

        Args:
            event: see `tasks/training/events.py`.
            steps: in an epoch.
        """
        if event["event"] == "step":
            self._scalars(event, "step", (event["epoch"] - 1) * steps + event["step"], _STEP)
            return
        self._scalars(event, "epoch", event["epoch"], _EPOCH)
        if event.get("confusion"):
            self._image("validation/confusion_matrix", event["epoch"], draw_counts(np.array(event["confusion"])), event["time"])

    def images(self, tag: str, step: int, pictures: npt.NDArray[np.uint8]) -> None:
        """Adds images (n, height, width, 3) as one, side by side with a gap of two pixels."""
        padded = np.pad(pictures, ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=255)
        self._image(tag, step, np.concatenate(list(padded), axis=1), time.time())

    def _image(self, tag: str, step: int, pixels: npt.NDArray[np.uint8], moment: float) -> None:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "png")
        image = _Summary.Image(
            height=pixels.shape[0], width=pixels.shape[1], colorspace=3, encoded_image_string=data.getvalue()
        )
        self._write(moment, step=step, summary=_Summary(value=[_Summary.Value(tag=tag, image=image)]))

    def close(self, *, finished: bool) -> None:
        """Adds the end of the run."""
        status = struct.pack("BB", 1 << 3, _SUCCESS if finished else _FAILURE)
        self._hparams("_hparams_/session_end_info", _field(4, status + _double(2, time.time())))
        self._writer.close()

    def _scalars(self, event: Event, group: str, step: int, names: tuple[str, ...]) -> None:
        values = [_Summary.Value(tag=f"{group}/{name}", simple_value=event[name]) for name in names]
        self._write(event["time"], step=step, summary=_Summary(value=values))

    def _hparams(self, tag: str, content: bytes) -> None:
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="hparams", content=content)
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
        value = _Summary.Value(tag=tag, metadata=metadata, tensor=tf.make_tensor_proto([], tf.float32, shape=(0,)))
        self._write(time.time(), step=0, summary=_Summary(value=[value]))

    def _write(self, moment: float, **fields: Any) -> None:
        self._writer.write(_Message(wall_time=moment, **fields).SerializeToString())
        self._writer.flush()


def draw_counts(counts: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A confusion matrix (classes, classes) as an image: blue by the share of the true class, (height, width, 3)."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    white, blue = np.array([255.0, 255.0, 255.0]), np.array([46.0, 112.0, 191.0])
    pixels = (white + shares[..., np.newaxis] * (blue - white)).round().astype(np.uint8)
    cell = max(1, min(_CELL, 512 // len(counts)))
    return np.kron(pixels, np.ones((cell, cell, 1), np.uint8))


def _value(value: object) -> Value:
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=float(value))
    return Value(string_value=str(value))


def _field(number: int, content: bytes) -> bytes:
    """A field with a length, as strings, messages and entries of maps have it."""
    length, size = len(content), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def _double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)
