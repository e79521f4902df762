"""The devices that share the work of a training step."""

from typing import TYPE_CHECKING

from resnet.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


def share_among(devices: int) -> "tf.distribute.Strategy":
    """How so many devices share the work: GPUs, or processors where there is none. One works without any sharing.

    TensorFlow must have been started.

    Raises:
        UserError: there are fewer.
    """
    import tensorflow as tf

    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < devices:
        raise UserError(
            f"train.devices is {devices}, but TensorFlow finds {len(found)} {kind}{'s' if len(found) > 1 else ''}: set it to "
            f"{len(found)}, or see `train-resnet doctor` for why there are not more."
        )
    return tf.distribute.MirroredStrategy(found[:devices])
