"""Which training steps one call of a compiled function does, and the figures of these steps.

A call has a cost on the processor, whatever it computes. On a GPU a step of small images can take less time than that, so a
call does several steps there.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.device_kernels import kernels
from resnet.training.state import Progress

# Of the images of a call, of which there are three at a time on a GPU. Steps of more bytes take so long that a call of several
# would gain nothing, and their memory is better used by the steps.
_MOST_BYTES = 64 * 2**20


class Calls(NamedTuple):
    """How the steps of a run are divided into calls. It follows from the kernels and sizes, so a resumed run has the same.

    Attributes:
        steps: in a call; a call of several steps takes stacked batches.
        ahead: calls that are started before the figures of a call are read.
    """

    steps: int
    ahead: int

    @property
    def stacked(self) -> bool:
        """Whether the batches of a call have an axis for the steps."""
        return self.steps > 1

    def of_epoch(self, done: int, steps: int) -> list[range]:
        """The steps of each call in the rest of an epoch, from 0. Calls are aligned to the start of the epoch.

        Args:
            done: steps that have been done in the epoch; a first call that begins among the steps of one is shorter.
            steps: of the whole epoch; the last call is shorter if they leave a remainder.
        """
        starts = [done, *range(done - done % self.steps + self.steps, steps, self.steps)]
        return [range(start, min(start - start % self.steps + self.steps, steps)) for start in starts if start < steps]


def divide_into_calls(training: Split, batch_size: int, hosts: int) -> Calls:
    """The calls of a run.

    Args:
        training: the split to train on.
        batch_size: images in a step.
        hosts: that train together. Several agree on signals after each step, so they do single steps.
    """
    most = 1 if hosts > 1 else kernels().steps_per_call
    steps = max(1, min(most, _MOST_BYTES // (batch_size * math.prod(training.image_shape))))
    return Calls(steps, math.ceil(kernels().steps_ahead / steps))


class Call(NamedTuple):
    """Steps that were started, and their figures, () or (steps,) float32, that may not have been computed yet.

    Attributes:
        steps: from 0.
        figures: cross-entropies and learning rates of the steps, and loss and accuracy of the epoch after each of them.
    """

    steps: range
    figures: tuple[tf.Tensor, ...]

    def read(self) -> "list[Figures]":
        """Waits for the figures."""
        read = [np.ravel(figures).tolist() for figures in self.figures]
        return [Figures(step + 1, *figures) for step, *figures in zip(self.steps, *read, strict=True)]


class Figures(NamedTuple):
    """The figures of a step, as in `Progress`; the cross-entropy is that of its batch."""

    step: int
    batch_loss: float
    learning_rate: float
    loss: float
    accuracy: float

    def progress(self, epoch: int, steps: int, images_per_second: float) -> Progress:
        """What is reported about the step."""
        return Progress(epoch, self.step, steps, self.loss, self.accuracy, self.learning_rate, images_per_second)
