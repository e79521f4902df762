"""Copies of a network's kernels in bfloat16, which the update writes and the next step reads.

A layer that computes in bfloat16 casts its float32 kernel at each step, and the gradient of the cast makes a float32 gradient
of a bfloat16 one. With small images a step has few pixels for each weight, so these casts take much of its time.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from resnet.native.library import load
from resnet.network.layers import Conv2D


class KernelCopies:
    """The kernels of a network's convolutions in bfloat16.

    They follow from the weights, so they belong to no checkpoint. `refresh` must be called after weights were assigned. If it
    was not, the next update raises `tf.errors.FailedPreconditionError`, and so does each one after it until then. By then the
    weights have been updated by a wrong gradient: assign them again first.

    Args:
        layers: of a network. There are copies of the kernels of those that compute in bfloat16, but none without the library.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        given = [] if load() is None else layers
        self._kernels = [one.kernel for one in given if isinstance(one, Conv2D) and one.compute_dtype == "bfloat16"]
        # Trainable, so that a gradient tape watches them.
        self._copies = [tf.Variable(tf.cast(tf.convert_to_tensor(one), tf.bfloat16), trainable=True) for one in self._kernels]
        self._by_kernel = {id(kernel): copy for kernel, copy in zip(self._kernels, self._copies, strict=True)}

    def of(self, variable: keras.Variable | None) -> tf.Variable | None:
        """The copy of a variable, or None if it has none."""
        return self._by_kernel.get(id(variable))

    def in_place_of(self, variables: Sequence[keras.Variable]) -> list[tf.Variable | keras.Variable]:
        """The variables that a step reads: the copy of each variable that has one, and the others themselves."""
        return [variable if (copy := self.of(variable)) is None else copy for variable in variables]

    def refresh(self) -> None:
        """Makes the copies again from the weights."""
        for kernel, copy in zip(self._kernels, self._copies, strict=True):
            copy.assign(tf.cast(tf.convert_to_tensor(kernel), tf.bfloat16))
