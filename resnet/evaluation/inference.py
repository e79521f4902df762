"""Running a trained network over a split."""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.data.arrays import Split
from resnet.data.batches import batches
from resnet.normalisation import normalise


def predict_logits(
    model: keras.Model, split: Split, batch_size: int, on_batch: Callable[[int], object] = lambda images: None
) -> npt.NDArray[np.float32]:
    """The network's logits for every image of a split, in its order: (images, classes) float32.

    `on_batch` is called with the number of images of each batch that is done.
    """

    @tf.function(reduce_retracing=True)
    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(normalise(images), training=False)

    results = []
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        results.append(forward(images).numpy())
        on_batch(len(images))
    return np.concatenate(results)
