"""Convolutions in bfloat16 whose kernel's gradient is computed by `weight_gradient.h`."""

from collections.abc import Callable

import tensorflow as tf

from resnet.native.library import load
from resnet.network.layers import Conv2D
from resnet.network.precision import cpu_flags

_LANES = 16  # input channels must be a multiple of it, output channels of twice as many


def has_weight_gradient(layer: Conv2D, images: tf.Tensor) -> bool:
    """Whether `convolve` can take the place of a layer for these images, and is faster.

    Not on processors with AMX: there oneDNN's gradient takes less time.
    """
    _, height, width, channels = images.shape
    return (
        hasattr(load(), "resnet_weight_gradient")
        and "amx_bf16" not in cpu_flags()
        and layer.compute_dtype == "bfloat16"
        and layer.trainable
        and not layer.use_bias
        and None not in (height, width)
        and layer.strides[0] == layer.strides[1]
        and channels % _LANES == layer.filters % (2 * _LANES) == 0
        and not layer.is_product(images)
    )


def convolve(layer: Conv2D, images: tf.Tensor, copy: tf.Variable | None = None) -> tf.Tensor:
    """The same as `layer(images)`, but without rounding errors in the sums of the kernel's gradient.

    Args:
        layer: for which `has_weight_gradient` holds.
        images: (batch, height, width, channels) of any float type.
        copy: bfloat16, the kernel to read in place of the layer's own.

    Returns:
        (batch, height / strides, width / strides, filters) bfloat16, rounded up.
    """
    kernel = tf.convert_to_tensor(layer.kernel if copy is None else copy)
    return layer.activation(_convolution(layer, images)(tf.cast(images, tf.bfloat16), kernel))


def _convolution(layer: Conv2D, images: tf.Tensor) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function of images, bfloat16, and the kernel, float32 or bfloat16; the kernel's gradient has the kernel's type."""
    library = load()
    assert library is not None
    stride, padding = layer.strides[0], layer.padding.upper()
    before = [
        _before(side, kernel, stride) if padding == "SAME" else 0
        for side, kernel in zip(images.shape[1:3], layer.kernel_size, strict=True)
    ]

    @tf.custom_gradient
    def convolution(
        images: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        narrow = tf.cast(kernel, tf.bfloat16)

        def gradient(above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images),
                filter=narrow,
                out_backprop=above,
                strides=(1, stride, stride, 1),
                padding=padding,
            )
            of_kernel = library.resnet_weight_gradient(
                images, above, T=kernel.dtype, kernel_size=list(layer.kernel_size), stride=stride, padding=before
            )
            return of_images, of_kernel

        return tf.nn.conv2d(images, narrow, stride, padding), gradient

    return convolution


def _before(side: int, kernel: int, stride: int) -> int:
    """The zeros before the first pixel of a side with TensorFlow's padding "SAME"."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0) // 2
