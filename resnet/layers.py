"""Two layers for which Keras leaves speed behind on TensorFlow; all others are Keras's own.

They compute what Keras's layers compute and have the same names, weights and options, so that a network of stock layers
can take their weights. Figures are in `benchmarks/results.md`.
"""

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
        shape = tf.shape(inputs)
        rows = tf.reshape(inputs, (-1, shape[2], 1, inputs.shape[3]))
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
        return tf.reshape(outputs, shape)

    def _move(self, mean: tf.Tensor, variance: tf.Tensor, samples: tf.Tensor) -> None:
        """Moves the statistics towards the batch's, whose variance the kernel gives with Bessel's correction, unlike Keras."""
        count = tf.cast(samples, tf.float32)
        variance *= tf.maximum(count - 1.0, 1.0) / count
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))


@keras.saving.register_keras_serializable(package="resnet")
class Conv2D(keras.layers.Conv2D):
    """Convolution, as a matrix product where it is one: with a kernel of 1x1, and where one output pixel sees the whole image.

    When oneDNN 3.7 is asked for a convolution, it takes 2.8 times as long for the gradient of 1x1 kernels, and for 3x3
    kernels on an image of a pixel or four it works through the whole kernel, of which most lies outside.

    Input: (batch, height, width, channels). Output: (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: asked for channels first, groups or dilation.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        if self.groups != 1 or self.data_format != "channels_last" or self.dilation_rate != (1, 1):
            raise ValueError(
                "Conv2D has one group, channels last, and no dilation. Received: "
                f"groups={self.groups}, data_format={self.data_format!r}, dilation_rate={self.dilation_rate}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves."""
        if self.kernel_size == (1, 1):
            # Pooling over a window of one pixel picks it. A slice, whose gradient TensorFlow takes pixel by pixel, made the
            # whole training step 1.1 times as long.
            picked = inputs if self.strides == (1, 1) else tf.nn.avg_pool2d(inputs, 1, self.strides, "VALID")
            return self._multiply(picked, self.kernel)
        if self._sees_the_whole_image(inputs.shape):
            _, height, width, channels = inputs.shape
            top, left = ((size - side) // 2 for size, side in zip(self.kernel_size, (height, width), strict=True))
            seen = tf.convert_to_tensor(self.kernel)[top : top + height, left : left + width]
            return self._multiply(tf.reshape(inputs, (-1, 1, 1, height * width * channels)), seen)
        return super().call(inputs)

    def _sees_the_whole_image(self, shape: tf.TensorShape) -> bool:
        sides = list(zip(shape[1:3], self.kernel_size, self.strides, strict=True))
        return self.padding == "same" and all(side and side <= min(size, stride) for side, size, stride in sides)

    def _multiply(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Multiplies each pixel, (batch, height, width, n), with a kernel of n * filters numbers."""
        width = inputs.shape[-1]
        outputs = tf.matmul(tf.reshape(inputs, (-1, width)), tf.reshape(kernel, (width, self.filters)))
        if self.bias is not None:
            # Not bias_add: in bfloat16 its gradient adds up in bfloat16, and stops at 512 where the sum is 50,000.
            outputs += self.bias
        return self.activation(tf.reshape(outputs, tf.concat([tf.shape(inputs)[:3], [self.filters]], axis=0)))
