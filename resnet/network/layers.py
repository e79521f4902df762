"""Three layers for which Keras leaves speed behind on TensorFlow; all others are Keras's own.

They compute what Keras's layers compute and have the same names, weights and options, so that a network of stock layers
can take their weights. Figures are in `benchmarks/results.md`.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

FEW_PIXELS = 4  # of an output, up to which convolutions are products; with 16 the step at 32 pixels is slower again


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
        # in bfloat16 it takes 0.5 to 0.9 of the time on the shapes of this network at 224 pixels (two cores).
        height, width, channels = _sides(inputs)
        rows = tf.reshape(inputs, (-1, width, 1, channels))
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
            self._move(mean, variance, tf.size(inputs) // channels)
        return tf.reshape(outputs, (-1, height, width, channels))

    def _move(self, mean: tf.Tensor, variance: tf.Tensor, samples: tf.Tensor) -> None:
        """Moves the statistics towards the batch's, whose variance the kernel gives with Bessel's correction, unlike Keras."""
        count = tf.cast(samples, tf.float32)
        variance *= tf.maximum(count - 1.0, 1.0) / count
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moved = moving * self.momentum + of_batch * (1.0 - self.momentum)
            if tf.distribute.has_strategy():
                # Keras 3.15 does not say how copies on several devices go together, so `assign` refuses. Each moves its own.
                tf.raw_ops.AssignVariableOp(resource=moving.value.handle, value=moved)
            else:
                moving.assign(moved)


@keras.saving.register_keras_serializable(package="resnet")
class Conv2D(keras.layers.Conv2D):
    """Convolution, as a matrix product with a kernel of 1x1, and where no more than four pixels come out.

    When oneDNN 3.7 is asked for a convolution, it takes 2 to 3 times as long for the gradient of 1x1 kernels (bfloat16, two
    cores). It is slow with the few pixels of the last two stages, too: as products of what each pixel sees (Chellapilla et
    al., "High Performance Convolutional Neural Networks for Document Processing", 2006, section 2) those of four pixels bring
    a training step at 32 pixels and batch 64 down to 0.90 of its processor time.

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
            # Pooling over a window of one pixel picks it; the gradient of a slice TensorFlow takes pixel by pixel.
            picked = inputs if self.strides == (1, 1) else tf.nn.avg_pool2d(inputs, 1, self.strides, "VALID")
            return self._multiply(picked, self.kernel)
        if self.padding == "same" and all(inputs.shape[1:3]):
            rows, columns = (_walk(*side) for side in zip(inputs.shape[1:3], self.kernel_size, self.strides, strict=True))
            if len(rows.starts) * len(columns.starts) <= FEW_PIXELS:
                return self._multiply_windows(inputs, rows, columns)
        return super().call(inputs)

    def _multiply_windows(self, inputs: tf.Tensor, rows: "_Walk", columns: "_Walk") -> tf.Tensor:
        """Lays out what each pixel of the output sees, and multiplies that."""
        padded = tf.pad(inputs, ((0, 0), rows.padding, columns.padding, (0, 0)))
        # Not by brackets: the gradient of a strided slice is filled in number by number.
        windows = [
            tf.slice(padded, (0, row, column, 0), (-1, rows.taps, columns.taps, -1))
            for row in rows.starts
            for column in columns.starts
        ]
        size = rows.taps * columns.taps * inputs.shape[3]
        seen = tf.reshape(tf.stack(windows, axis=1), (-1, len(rows.starts), len(columns.starts), size))
        first, taps = (rows.first_tap, columns.first_tap, 0, 0), (rows.taps, columns.taps, -1, -1)
        return self._multiply(seen, tf.slice(tf.convert_to_tensor(self.kernel), first, taps))

    def _multiply(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Multiplies each pixel, (batch, height, width, n), with a kernel of n * filters numbers."""
        width = inputs.shape[-1]
        outputs = tf.matmul(tf.reshape(inputs, (-1, width)), tf.reshape(kernel, (width, self.filters)))
        if self.bias is not None:
            # Not bias_add: in bfloat16 its gradient adds up in bfloat16, and stops at 512 where the sum is 50,000.
            outputs += self.bias
        return self.activation(tf.reshape(outputs, (-1, *_sides(inputs)[:2], self.filters)))


@keras.saving.register_keras_serializable(package="resnet")
class ReLU(keras.layers.ReLU):
    """Rectified linear unit, in bfloat16 by way of the bits.

    A bfloat16 number is below zero where its bits, read as an int16, are: so max(bits, 0) is the unit. TensorFlow's own kernel
    brings bfloat16 to float32 and back on processors; on 32 x 56 x 56 x 256 it takes 4 times as long.

    A NaN with its sign set becomes 0 here. `Trainer` looks at the gradients too, in which it shows.

    Input and output: of any shape.

    Raises:
        ValueError: asked for a slope, a threshold or a limit.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks the options; there are no weights."""
        if self.negative_slope or self.threshold or self.max_value is not None:
            raise ValueError(
                f"ReLU is max(x, 0). Received: negative_slope={self.negative_slope}, threshold={self.threshold}, "
                f"max_value={self.max_value}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """max(inputs, 0)."""
        if inputs.dtype != tf.bfloat16 or tf.config.list_physical_devices("GPU"):
            return tf.nn.relu(inputs)
        return _relu_by_bits(inputs)


@tf.custom_gradient
def _relu_by_bits(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    outputs = tf.bitcast(tf.nn.relu(tf.bitcast(inputs, tf.int16)), tf.bfloat16)
    # Not by bits as well: by itself that takes 0.6 of the time, but in a step at 224 pixels twice (521 against 246 ms).
    return outputs, lambda above: tf.raw_ops.ReluGrad(gradients=above, features=outputs)


def _sides(images: tf.Tensor) -> list[tf.Tensor | int]:
    """Height, width and channels, as numbers where they are known while the graph is made."""
    return [tf.shape(images)[axis] if side is None else side for axis, side in enumerate(images.shape) if axis]


class _Walk(NamedTuple):
    """How a kernel goes along one side of an image, without the taps that never meet a pixel.

    Attributes:
        starts: where in the padded image the kernel lies for each pixel of the output.
        first_tap: the first that is used.
        taps: how many are.
        padding: zeros before and after the image.
    """

    starts: range
    first_tap: int
    taps: int
    padding: tuple[int, int]


def _walk(length: int, kernel: int, stride: int) -> _Walk:
    """With the padding that TensorFlow calls "SAME"."""
    outputs = -(-length // stride)
    last = (outputs - 1) * stride
    before = max(last + kernel - length, 0) // 2
    first_tap = max(before - last, 0)
    taps = min(kernel, length + before) - first_tap
    padding = before - first_tap, max(last + taps - (before - first_tap) - length, 0)
    return _Walk(range(0, last + 1, stride), first_tap, taps, padding)
