"""What a batch is learned by: cross-entropy, smoothed, weighted by class, and of two labels where images are mixed."""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.training.mixing import Mixed

_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def balanced_weights(labels: npt.NDArray[np.uint16], classes: int) -> npt.NDArray[np.float32]:
    """(classes,) float32: images / (classes * images of the class), so that every class has the same weight in all.

    As scikit-learn's "balanced" (King and Zeng, "Logistic Regression in Rare Events Data", 2001). A class without an image
    has 0.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)


def objective(
    logits: tf.Tensor, batch: Mixed, smoothing: float, class_weights: npt.NDArray[np.float32] | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The plain cross-entropy of a batch, which is reported, and what its gradients are taken of; both () float32.

    Args:
        logits: (batch, classes) float32.
        batch: the labels, and what was mixed in.
        smoothing: share of the target that is spread over all classes, in [0, 1) (Szegedy et al., "Rethinking the Inception
            Architecture for Computer Vision", 2015, section 7).
        class_weights: (classes,) float32, of an image by its label; that of a mixed image is the mean of both by their shares.
    """
    if batch.shares is None and class_weights is None:
        cross_entropy = _CROSS_ENTROPY(batch.labels, logits)
        if not smoothing:
            return cross_entropy, cross_entropy
        return cross_entropy, (1.0 - smoothing) * cross_entropy - smoothing * tf.reduce_mean(tf.nn.log_softmax(logits))
    logarithms = tf.nn.log_softmax(logits)
    of_images = -_by_shares(batch, lambda labels: tf.gather(logarithms, labels, batch_dims=1))
    learned = (1.0 - smoothing) * of_images - smoothing * tf.reduce_mean(logarithms, axis=1)
    if class_weights is not None:
        table = tf.constant(class_weights)
        learned *= _by_shares(batch, lambda labels: tf.gather(table, labels))
    return tf.reduce_mean(of_images), tf.reduce_mean(learned)


def _by_shares(batch: Mixed, of: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """(batch,): a number of each label, the mean of both by their shares where two images are one."""
    own = of(tf.cast(batch.labels, tf.int32))
    if batch.shares is None:
        return own
    return batch.shares * own + (1.0 - batch.shares) * of(tf.cast(batch.others, tf.int32))
