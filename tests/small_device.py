"""Stands in for a device with little memory."""

from typing import Any

import tensorflow as tf

from resnet.training.loop import Trainer
from resnet.training.mixing import Mixed


def _use_up(_: Any) -> None:
    raise MemoryError("OOM when allocating tensor")  # TensorFlow makes a ResourceExhaustedError of it


def small_device(one: Trainer, most: int) -> list[tuple[int, int]]:
    """Lets a trainer fail with more images at once than a device has memory for; returns number and side of those it gets.

    It fails after the forward pass, which has moved the statistics of batch normalisation by then.
    """
    compute, seen = one._gradients, list[tuple[int, int]]()

    def gradients(batch: Mixed, *rest: Any) -> Any:
        seen.append(tuple(batch.images.shape[:2]))
        found = compute(batch, *rest)
        if batch.images.shape[0] <= most:
            return found
        return tf.ensure_shape(tf.numpy_function(_use_up, [found[0]], tf.float32), ()), found[1]

    one._gradients = gradients  # type: ignore[method-assign,assignment]
    return seen
