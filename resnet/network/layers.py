"""Four layers for what TensorFlow does better than Keras's own; all other layers are Keras's.

They compute the same as Keras's layers and have the same names, weights and options, so a network of Keras's own layers can
use their weights. Measurements are in `benchmarks/results.md`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import keras
import tensorflow as tf

from resnet.network.device_kernels import kernels

FEW_PIXELS = 4  # convolutions with at most this many output pixels become products; with 16 a step at 32 pixels is slower


@keras.saving.register_keras_serializable(package="resnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of images by TensorFlow's fused kernel (Ioffe and Szegedy, "Batch Normalization", 2015).

    Keras 3 computes moments and differences as separate operations in float32, and keeps all intermediate results for the
    gradient. Scale, offset and statistics are float32 for all types of images.

    Input and output: (batch, height, width, channels) float32, bfloat16 or float16.

    Raises:
        ValueError: options or an input shape that the kernel does not support.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        if len(input_shape) != 4 or self.axis not in (-1, 3) or self.renorm or not (self.center and self.scale):
            raise ValueError(
                "BatchNormalization is for (batch, height, width, channels), with center and scale and without renorm. "
                f"Received: input of shape {input_shape}, axis={self.axis}, center={self.center}, scale={self.scale}, "
                f"renorm={self.renorm}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises by the statistics of the batch in training, and by the moving statistics otherwise."""
        learning = bool(training and self.trainable)
        # Each row of pixels becomes an image: the sums are the same, and oneDNN divides them better among its threads. In
        # bfloat16 its forward pass takes 0.5 to 0.9 of the time on the shapes of this network at 224 pixels (two cores).
        height, width, channels = _sides(inputs)
        rows = tf.reshape(inputs, (-1, width, 1, channels)) if kernels().rows_as_images else inputs
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=rows,
            scale=self.gamma,
            offset=self.beta,
            # In training the kernel computes them itself and requires empty ones.
            mean=[] if learning else self.moving_mean,
            variance=[] if learning else self.moving_variance,
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            # The kernel's variance has Bessel's correction, which the moving variance of Keras does not have.
            count = tf.cast(tf.size(inputs) // channels, tf.float32)
            self.move(mean, variance * (tf.maximum(count - 1.0, 1.0) / count))
        return tf.reshape(outputs, (-1, height, width, channels)) if kernels().rows_as_images else outputs

    def move(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Updates the moving statistics by those of a batch, (channels,) float32, without Bessel's correction."""
        held = _held.get()
        if held is not None:
            held.append((self, mean, variance))
            return
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moved = moving * self.momentum + of_batch * (1.0 - self.momentum)
            if tf.distribute.has_strategy():
                # Each device updates its own copy. `assign` refuses, as Keras 3.15 defines no way to combine the copies.
                tf.raw_ops.AssignVariableOp(resource=moving.value.handle, value=moved)
            else:
                moving.assign(moved)


_Statistics = tuple[BatchNormalization, tf.Tensor, tf.Tensor]
_held: ContextVar[list[_Statistics] | None] = ContextVar("held", default=None)


@contextmanager
def held_statistics() -> Iterator[list[_Statistics]]:
    """Within the block no moving statistics change; yields a list that gets each layer with what `move` was given."""
    held: list[_Statistics] = []
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


@keras.saving.register_keras_serializable(package="resnet")
class Conv2D(keras.layers.Conv2D):
    """Convolution that becomes a matrix product for 1x1 kernels, and for outputs of at most four pixels.

    For the gradient of 1x1 kernels, oneDNN 3.7 takes 2 to 3 times as long by a convolution as by a product (bfloat16, two
    cores). It is also slow for the few pixels of the last two stages. There the windows of the output pixels are laid out in a
    matrix (Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", 2006, section 2).
    With this up to four pixels, a training step at 32 pixels and batch size 64 takes 0.90 of the processor time.

    Input: (batch, height, width, channels). Output: (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: channels first, groups or dilation.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        if self.groups != 1 or self.data_format != "channels_last" or self.dilation_rate != (1, 1):
            raise ValueError(
                "Conv2D has one group, channels last, and no dilation. Received: "
                f"groups={self.groups}, data_format={self.data_format!r}, dilation_rate={self.dilation_rate}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves."""
        if not self.is_product(inputs):
            return super().call(inputs)
        if self.kernel_size == (1, 1):
            # Pooling with a window of one pixel selects pixels. TensorFlow computes the gradient of a slice pixel by pixel.
            picked = inputs if self.strides == (1, 1) else tf.nn.avg_pool2d(inputs, 1, self.strides, "VALID")
            return self._multiply(picked, self.kernel)
        windows = self._windows(inputs)
        assert windows
        return self._multiply_windows(inputs, *windows)

    def is_product(self, inputs: tf.Tensor) -> bool:
        """Whether `call` computes a matrix product for these inputs instead of a convolution."""
        return kernels().products and (self.kernel_size == (1, 1) or self._windows(inputs) is not None)

    def _windows(self, inputs: tf.Tensor) -> "tuple[_Walk, _Walk] | None":
        """The kernel's walk along height and width, if it stops at few pixels."""
        if self.padding != "same" or not all(inputs.shape[1:3]):
            return None
        rows, columns = (_walk(*side) for side in zip(inputs.shape[1:3], self.kernel_size, self.strides, strict=True))
        return (rows, columns) if len(rows.starts) * len(columns.starts) <= FEW_PIXELS else None

    def _multiply_windows(self, inputs: tf.Tensor, rows: "_Walk", columns: "_Walk") -> tf.Tensor:
        """Lays out the window of each output pixel as a row, and multiplies the rows with the kernel."""
        padded = tf.pad(inputs, ((0, 0), rows.padding, columns.padding, (0, 0)))
        # Not by indexing: TensorFlow fills the gradient of a strided slice number by number.
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
        """Multiplies each pixel of (batch, height, width, n) with a kernel of n * filters numbers."""
        width = inputs.shape[-1]
        outputs = tf.matmul(tf.reshape(inputs, (-1, width)), tf.reshape(kernel, (width, self.filters)))
        if self.bias is not None:
            # Not bias_add: its gradient is summed in bfloat16 there, and stops at 512 where the sum is 50,000.
            outputs += self.bias
        return self.activation(tf.reshape(outputs, (-1, *_sides(inputs)[:2], self.filters)))


@keras.saving.register_keras_serializable(package="resnet")
class ReLU(keras.layers.ReLU):
    """Rectified linear unit; for bfloat16 it is computed on the bits.

    A bfloat16 number is negative if and only if its bits, read as an int16, are negative. The unit is therefore max(bits, 0).
    On CPUs TensorFlow's own kernel converts bfloat16 to float32 and back; on 32 x 56 x 56 x 256 it takes 4 times as long.

    A NaN whose sign bit is set becomes 0. `Trainer` also checks the gradients, where such a NaN is visible.

    Input and output: of any shape.

    Raises:
        ValueError: a slope, a threshold or a limit.
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
        if inputs.dtype == tf.bfloat16 and kernels().relu_on_bits:
            return _relu_by_bits(inputs)
        return tf.nn.relu(inputs)


@tf.custom_gradient
def _relu_by_bits(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    outputs = tf.bitcast(tf.nn.relu(tf.bitcast(inputs, tf.int16)), tf.bfloat16)
    # Not on the bits: alone that takes 0.6 of the time, but in a step at 224 pixels twice as long (521 instead of 246 ms).
    return outputs, lambda above: tf.raw_ops.ReluGrad(gradients=above, features=outputs)


@keras.saving.register_keras_serializable(package="resnet")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Max-pooling without padding. Under XLA its gradient is made of comparisons, so that the step is deterministic.

    With op determinism, TensorFlow refuses to compile its own gradient by XLA.

    Input: (batch, height, width, channels). Output: (batch, rows, columns, channels).

    Raises:
        ValueError: padding, or channels first.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks the options; there are no weights."""
        if self.padding != "valid" or self.data_format != "channels_last":
            raise ValueError(
                "MaxPooling2D has no padding, and channels last. Received: "
                f"padding={self.padding!r}, data_format={self.data_format!r}."
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The largest number of each window and channel."""
        if kernels().xla:
            return _pool_by_comparison(inputs, self.pool_size, self.strides)
        return super().call(inputs)


def _pool_by_comparison(inputs: tf.Tensor, size: tuple[int, int], strides: tuple[int, int]) -> tf.Tensor:
    """Max-pooling whose gradient goes to the first of the largest numbers of a window, as TensorFlow's on processors does."""

    @tf.custom_gradient
    def pool(images: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        outputs = tf.nn.max_pool2d(images, size, strides, "VALID")

        def gradient(above: tf.Tensor) -> tf.Tensor:
            return _gradient_by_comparison(images, outputs, above, size, strides)

        return outputs, gradient

    return pool(inputs)


def _gradient_by_comparison(
    images: tf.Tensor, outputs: tf.Tensor, above: tf.Tensor, size: tuple[int, int], strides: tuple[int, int]
) -> tf.Tensor:
    rows, columns = outputs.shape[1:3]
    taps = [(row, column) for row in range(size[0]) for column in range(size[1])]
    free = tf.ones_like(outputs, tf.bool)
    shares = {}
    for row, column in taps:
        seen = images[
            :,
            row : row + strides[0] * (rows - 1) + 1 : strides[0],
            column : column + strides[1] * (columns - 1) + 1 : strides[1],
        ]
        hit = free & (seen == outputs)
        free &= ~hit
        shares[row, column] = tf.where(hit, above, tf.zeros_like(above))
    total = tf.zeros_like(images)
    for row, column in reversed(taps):  # the windows that a pixel is in, in their order: the sums are those of TensorFlow
        total += _spread(shares[row, column], images.shape[1:3], (row, column), strides)
    return total


def _spread(share: tf.Tensor, sides: tuple[int, int], tap: tuple[int, int], strides: tuple[int, int]) -> tf.Tensor:
    """Puts the numbers of all windows at the pixels of one tap, with zeros elsewhere: padding inside and around."""
    batch = tf.shape(share)[0]
    rows, columns, channels = share.shape[1:]
    apart = tf.pad(
        tf.reshape(share, (batch, rows, 1, columns, 1, channels)),
        [[0, 0], [0, 0], [0, strides[0] - 1], [0, 0], [0, strides[1] - 1], [0, 0]],
    )
    wide = tf.reshape(apart, (batch, rows * strides[0], columns * strides[1], channels))
    wide = wide[:, : sides[0] - tap[0], : sides[1] - tap[1]]
    after = [side - at - length for side, at, length in zip(sides, tap, wide.shape[1:3], strict=True)]
    return tf.pad(wide, [[0, 0], [tap[0], after[0]], [tap[1], after[1]], [0, 0]])


def _sides(images: tf.Tensor) -> list[tf.Tensor | int]:
    """Height, width and channels; as Python numbers if they are known when the graph is built."""
    return [tf.shape(images)[axis] if side is None else side for axis, side in enumerate(images.shape) if axis]


class _Walk(NamedTuple):
    """The positions of a kernel along one side of an image, without the taps that only ever meet padding.

    Attributes:
        starts: the kernel's position in the padded image for each output pixel.
        first_tap: the first tap that is used.
        taps: the number of taps that are used.
        padding: zeros before and after the image.
    """

    starts: range
    first_tap: int
    taps: int
    padding: tuple[int, int]


def _walk(length: int, kernel: int, stride: int) -> _Walk:
    """The positions for the padding that TensorFlow calls "SAME"."""
    outputs = -(-length // stride)
    last = (outputs - 1) * stride
    before = max(last + kernel - length, 0) // 2
    first_tap = max(before - last, 0)
    taps = min(kernel, length + before) - first_tap
    padding = before - first_tap, max(last + taps - (before - first_tap) - length, 0)
    return _Walk(range(0, last + 1, stride), first_tap, taps, padding)
