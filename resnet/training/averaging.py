"""A second set of weights that follows the trained ones slowly, and is validated and kept in their place.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992). Not by Keras's optimizers (`use_ema`),
which average what is trained and leave the statistics of batch normalisation behind.
"""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class MovingAverage:
    """Exponential moving averages of all weights of a model, batch normalisation's statistics included.

    Args:
        model: with its first weights.
        decay: share of the average that is kept at a step, in [0, 1). Early on it is less, (1 + t) / (10 + t) after t steps, so
            that the first weights are soon forgotten (as TensorFlow's `ExponentialMovingAverage` with `num_updates`).

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
        """Moves the averages towards the model's weights, after so many steps, () int."""
        count = tf.cast(steps, tf.float32)
        rest = 1.0 - tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        for average, weight in zip(self.variables, self._model.weights, strict=True):
            average.assign_sub(rest * (tf.convert_to_tensor(average) - tf.convert_to_tensor(weight)))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """What the model would answer with these weights, which leaves it as it is."""
        logits, _ = self._model.stateless_call(self._trainable, self._others, images, training=False)
        return logits

    def get_weights(self) -> list[npt.NDArray[np.float32]]:
        """Copies, as `model.get_weights` would give them."""
        return [np.array(average) for average in self.variables]
