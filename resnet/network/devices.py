"""Devices that share a training step."""

from typing import TYPE_CHECKING

from resnet.core.errors import UserError
from resnet.core.words import counted
from resnet.network.cuda import gpus_of_driver, obstacle, slices

if TYPE_CHECKING:
    import tensorflow as tf


def share_among(devices: int) -> "tf.distribute.Strategy":
    """The strategy that divides a training step among GPUs, or among TensorFlow's CPU devices if there is no GPU.

    TensorFlow must have been started. For one device it is TensorFlow's default strategy, which does nothing.

    Raises:
        UserError: TensorFlow finds fewer devices.
    """
    import tensorflow as tf

    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < devices:
        raise UserError(f"train.devices is {devices}, but {_why_too_few(kind, len(found))}")
    return tf.distribute.MirroredStrategy(found[:devices])


def _why_too_few(kind: str, found: int) -> str:
    hindered = obstacle() if kind == "CPU" and gpus_of_driver() else None
    if hindered:
        return (
            f"TensorFlow finds none of this machine's GPUs, because {hindered}, or set train.devices to 1 to train on the "
            "processor."
        )
    if kind == "GPU" and len(slices()) > 1:
        return "the GPUs are divided by MIG, and CUDA gives a process one slice: set it to 1 or switch MIG off."
    there_are, why = (counted(found, kind), "why there are not more") if kind == "GPU" else ("no GPU", "why")
    return f"TensorFlow finds {there_are}: set it to {found}, or run `train-resnet doctor` to see {why}."
