"""The loss of a batch: cross-entropy with label smoothing, class weights and the two labels of mixed images."""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.training.mixing import Mixed

_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def balanced_weights(labels: npt.NDArray[np.uint16], classes: int) -> npt.NDArray[np.float32]:
    """(classes,) float32: images / (classes * images of the class), so that every class has the same total weight.

    As "balanced" in scikit-learn (King and Zeng, "Logistic Regression in Rare Events Data", 2001). The weight of a class
    without images is 0.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)


def objective(
    logits: tf.Tensor, batch: Mixed, label_smoothing: float, class_weights: npt.NDArray[np.float32] | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The plain cross-entropy of a batch, which is reported, and the loss, whose gradients are taken; both () float32.

    Args:
        logits: (batch, classes) float32.
        batch: the labels, and those that were mixed in.
        label_smoothing: share of the target that is spread evenly over all classes, in [0, 1) (Szegedy et al., "Rethinking the
            Inception Architecture for Computer Vision", 2015, section 7).
        class_weights: (classes,) float32, the weight of an image by its label. For a mixed image the weights of both labels
            are averaged by their shares.
    """
    if batch.shares is None and class_weights is None:
        cross_entropy = _mean_cross_entropy(batch.labels, logits)
        if not label_smoothing:
            return cross_entropy, cross_entropy
        uniform = tf.reduce_mean(tf.nn.log_softmax(logits))
        return cross_entropy, (1.0 - label_smoothing) * cross_entropy - label_smoothing * uniform
    logarithms = tf.nn.log_softmax(logits)
    of_images = -_by_shares(batch, lambda labels: tf.gather(logarithms, labels, batch_dims=1))
    losses = (1.0 - label_smoothing) * of_images - label_smoothing * tf.reduce_mean(logarithms, axis=1)
    if class_weights is not None:
        table = tf.constant(class_weights)
        losses *= _by_shares(batch, lambda labels: tf.gather(table, labels))
    return tf.reduce_mean(of_images), tf.reduce_mean(losses)


def _mean_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of this device's part. Keras divides it by the number of devices, which the trainer does with the whole loss."""
    mean = _CROSS_ENTROPY(labels, logits)
    devices = tf.distribute.get_strategy().num_replicas_in_sync
    return mean if devices == 1 else mean * float(devices)


def _by_shares(batch: Mixed, of: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """(batch,): a number for each label; for mixed images the mean of both, weighted by their shares."""
    own = of(tf.cast(batch.labels, tf.int32))
    if batch.shares is None:
        return own
    return batch.shares * own + (1.0 - batch.shares) * of(tf.cast(batch.others, tf.int32))
