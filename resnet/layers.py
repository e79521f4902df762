"""Two layers for which Keras leaves speed behind on TensorFlow; all others are Keras's own.

They compute what Keras's layers compute and have the same names, weights and options, so that a network of stock layers
can take their weights. Figures are in `benchmarks/results.md`.
"""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="resnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of images by TensorFlow's fused kernel (Ioffe and Szegedy, "Batch Normalization", 2015).

    Keras 3 computes moments and differences one after another, in float32, and keeps what lies between for the gradient.
    Scale, offset and statistics are float32 whatever the images are.

    Input and output: (batch, height, width, channels) float32, bfloat16 or float16.

    Raises:
        ValueError: asked for what the kernel cannot do.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        if len(input_shape) != 4 or self.axis not in (-1, 3) or self.renorm or not (self.center and self.scale):
            raise ValueError(
                "BatchNormalization is for (batch, height, width, channels), with center and scale and without renorm. "
                f"Received: input of shape {input_shape}, axis={self.axis}, center={self.center}, scale={self.scale}, "
                f"renorm={self.renorm}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises by the batch while training, and by the moving statistics otherwise."""
        learning = bool(training and self.trainable)
        # One row of pixels as one image: the same sums, and oneDNN's forward pass divides them among its threads so that
        # it takes 0.5 of the time on 56 x 56 x 256 (bfloat16) and no more on any other shape of this network.
        rows = tf.reshape(inputs, (-1, inputs.shape[2], 1, inputs.shape[3]))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=rows,
            scale=self.gamma,
            offset=self.beta,
            # The kernel wants them empty while it takes the batch's own.
            mean=[] if learning else self.moving_mean,
            variance=[] if learning else self.moving_variance,
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            self._move(mean, variance, tf.size(inputs) // inputs.shape[3])
        return tf.reshape(outputs, tf.shape(inputs))

    def _move(self, mean: tf.Tensor, variance: tf.Tensor, samples: tf.Tensor) -> None:
        """Moves the statistics towards the batch's, whose variance the kernel gives with Bessel's correction, unlike Keras."""
        count = tf.cast(samples, tf.float32)
        variance *= tf.maximum(count - 1.0, 1.0) / count
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))


@keras.saving.register_keras_serializable(package="resnet")
class PointwiseConv2D(keras.layers.Conv2D):
    """Convolution of 1x1 as a matrix product of (pixels, channels) and (channels, filters).

    oneDNN 3.7 takes 2.8 times as long for the weights' gradient when it is asked for a convolution.

    Input: (batch, height, width, channels). Output: (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: asked for something else than a 1x1 convolution of all channels, channels last.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int] = 1, **options: Any) -> None:
        super().__init__(filters, kernel_size, **options)
        if self.kernel_size != (1, 1) or self.groups != 1 or self.data_format != "channels_last":
            raise ValueError(
                "PointwiseConv2D has a kernel of 1 x 1, one group, and channels last. Received: "
                f"kernel_size={self.kernel_size}, groups={self.groups}, data_format={self.data_format!r}."
            )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes every `strides`-th pixel, and multiplies."""
        if self.strides != (1, 1):
            # Pooling over a window of one pixel picks it. A slice, whose gradient TensorFlow takes pixel by pixel, made the
            # whole training step 1.1 times as long.
            inputs = tf.nn.avg_pool2d(inputs, 1, self.strides, "VALID")
        shape = tf.shape(inputs)
        kernel = tf.reshape(self.kernel, (inputs.shape[-1], self.filters))
        outputs = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), kernel)
        if self.bias is not None:
            # Not bias_add: in bfloat16 its gradient adds up in bfloat16, and stops at 512 where the sum is 50,000.
            outputs += self.bias
        return self.activation(tf.reshape(outputs, tf.concat([shape[:3], [self.filters]], axis=0)))
