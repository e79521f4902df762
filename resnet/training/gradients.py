"""Loss and gradients of a batch in parts: one after another, to save memory, or one on each host."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from resnet.network.layers import held_statistics
from resnet.training.hosts import Hosts
from resnet.training.mixing import Mixed

Found = tuple[tf.Tensor, list[tf.Tensor]]  # the mean cross-entropy of some images, and the mean gradients


def one_after_another(
    compute: Callable[[Mixed], Found], batch: Mixed, variables: Sequence[keras.Variable], parts: int
) -> Found:
    """Mean cross-entropy, () float32, and mean gradients over the parts of a batch.

    Args:
        compute: gives those of a part.
        batch: its images are a multiple of `parts`.
        variables: whose gradients `compute` gives, float32.
        parts: their number.
    """
    size = batch.labels.shape[0] // parts

    def add(number: tf.Tensor, loss: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        part_loss, gradients = compute(batch.part(number, size))
        return (
            number + 1,
            loss + part_loss,
            [one + tf.cast(other, one.dtype) for one, other in zip(sums, gradients, strict=True)],
        )

    # Not a Python loop: TensorFlow would run its parts in parallel and need the memory of all of them.
    zeros = [tf.zeros(variable.shape) for variable in variables]
    start = (tf.constant(0), tf.constant(0.0), zeros)
    _, loss, sums = tf.while_loop(lambda number, *_: number < parts, add, start, parallel_iterations=1)
    return loss / parts, [one / parts for one in sums]


def one_on_each_host(
    compute: Callable[[list[tf.Tensor]], Found],
    variables: Sequence[keras.Variable],
    hosts: Hosts,
    accuracy: keras.metrics.Mean,
) -> Found:
    """Mean cross-entropy, () float32, and mean gradients over the parts of a batch, of which each host computes its own.

    The statistics of batch normalisation move by all parts in their order, as if one host had computed one after another.

    Args:
        compute: gives those of this host's part, and adds to a list which of its images were right, (images,) float32.
        variables: whose gradients `compute` gives.
        hosts: all of them.
        accuracy: gets which images of all parts were right.
    """
    matches: list[tf.Tensor] = []
    with held_statistics() as held:
        cross_entropy, gradients = compute(matches)
    mine = [cross_entropy, *(tf.cast(one, tf.float32) for one in gradients), *matches]
    mine += [statistic for _, *statistics in held for statistic in statistics]
    loss, sums = tf.constant(0.0), [tf.zeros(variable.shape) for variable in variables]
    for one, *rest in hosts.gather(mine):
        others = iter(rest)
        loss += one
        sums = [total + next(others) for total in sums]
        keras.metrics.Mean.update_state(accuracy, next(others))
        for norm, *_ in held:
            norm.move(next(others), next(others))
    return loss / hosts.count, [total / hosts.count for total in sums]
