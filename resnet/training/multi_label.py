"""Loss and accuracy of images with several labels each: every class is a question of its own.

A logit answers it by the logistic function.

The loss is the binary cross-entropy, averaged over images and classes, as in `timm.loss.BinaryCrossEntropy` (Wightman et al.,
"ResNet strikes back", 2021, section 3.3).
"""

import keras
import numpy as np
import tensorflow as tf

from resnet.core.label_sets import LabelSets
from resnet.training.mixing import Mixed


class MultiLabel:
    """What a trainer needs to know about labels that are numbers of sets.

    Args:
        label_sets: of the data.
    """

    def __init__(self, label_sets: LabelSets) -> None:
        self._members = label_sets.members.astype(np.float32)

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        """(batch, classes) float32: 1 for the classes in the sets of (batch,) labels, 0 for the others."""
        return tf.gather(tf.constant(self._members), tf.cast(labels, tf.int64))

    def cross_entropy(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """() float32, in nats: the mean over images and classes, from (batch,) labels and (batch, classes) logits."""
        return _mean(self.targets(labels), logits)

    def matches(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """(batch,) float32: 1 where the classes of at least 0.5 are exactly those of the label, as in a subset accuracy."""
        predicted = tf.cast(logits >= 0.0, tf.float32)
        return tf.reduce_min(tf.cast(predicted == self.targets(labels), tf.float32), axis=1)

    def accuracy(self, name: str) -> keras.metrics.Metric:
        """A metric with the mean of `matches`."""
        return keras.metrics.MeanMetricWrapper(self.matches, name=name)

    def objective(self, logits: tf.Tensor, batch: Mixed, label_smoothing: float) -> tuple[tf.Tensor, tf.Tensor]:
        """The plain cross-entropy of a batch, which is reported, and the loss, whose gradients are taken; both () float32.

        Args:
            logits: (batch, classes) float32.
            batch: the labels, and those that were mixed in.
            label_smoothing: share of each target that is replaced by 1 / classes, in [0, 1), as for images with one label.
                timm's `smooth_dense` replaces it by 0.5; docs/recipes.md shows no difference.
        """
        targets = self.targets(batch.labels)
        if batch.shares is not None:
            shares = batch.shares[:, tf.newaxis]
            targets = shares * targets + (1.0 - shares) * self.targets(batch.others)
        cross_entropy = _mean(targets, logits)
        if not label_smoothing:
            return cross_entropy, cross_entropy
        classes = self._members.shape[1]
        return cross_entropy, _mean((1.0 - label_smoothing) * targets + label_smoothing / classes, logits)


def _mean(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
