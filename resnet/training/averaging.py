"""An exponential moving average of the weights, which is validated and kept in place of the trained weights.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992). The optimizers of Keras can average too
(`use_ema`), but only trained weights, not the statistics of batch normalisation.
"""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class MovingAverage:
    """Exponential moving averages of all weights of a model, including the statistics of batch normalisation.

    Args:
        model: with its initial weights.
        decay: share of the average that a step keeps, in [0, 1). In the first steps it is smaller, (1 + t) / (10 + t) after t
            steps, so that the initial weights lose their influence (as in TensorFlow's `ExponentialMovingAverage` with
            `num_updates`).

    Attributes:
        variables: the averages, float32, in the order of `model.weights`.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self.variables = [
            keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name="average") for weight in model.weights
        ]
        self._model = model
        self._decay = decay
        averages = {id(weight): average for weight, average in zip(model.weights, self.variables, strict=True)}
        self._trainable = [averages[id(weight)] for weight in model.trainable_variables]
        self._others = [averages[id(weight)] for weight in model.non_trainable_variables]

    def update(self, steps: tf.Tensor) -> None:
        """Moves the averages towards the weights of the model; `steps` is the number of steps so far, () int."""
        count = tf.cast(steps, tf.float32)
        rest = 1.0 - tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        for average, weight in zip(self.variables, self._model.weights, strict=True):
            average.assign_sub(rest * (tf.convert_to_tensor(average) - tf.convert_to_tensor(weight)))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """The logits of the model with the averaged weights. The weights of the model do not change."""
        logits, _ = self._model.stateless_call(self._trainable, self._others, images, training=False)
        return logits

    def get_weights(self) -> list[npt.NDArray[np.float32]]:
        """Copies of the averages, in the order of `model.get_weights`."""
        return [np.array(average) for average in self.variables]
