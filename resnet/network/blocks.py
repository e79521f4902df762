"""The blocks of a ResNet.

A bottleneck block is 1x1, 3x3 and 1x1 convolutions, each followed by batch normalisation, added to a shortcut; a basic
block has two 3x3 convolutions: He et al., "Deep Residual Learning for Image Recognition" (2015), figure 5 and table 1. Layers
have the names that they have in `keras.applications.ResNet50` (``conv2_block1_1_conv``), so weights can be matched by name.
"""

from dataclasses import dataclass

import keras

from resnet.network.layers import BatchNormalization, Conv2D, ReLU
from resnet.network.variants import EXPANSION, VARIANTS, Variant


@dataclass(frozen=True)
class Style:
    """Settings that all blocks of a network share.

    Attributes:
        variant: see `Variant`.
        momentum: of the moving statistics of batch normalisation, in (0, 1).
        zero_init_last_gamma: initialise the scale of each block's last batch normalisation with zero, so that the block starts
            as the identity (Goyal et al. 2017, section 5.1).
        kernel_initializer: Keras's name of the initialiser of convolution kernels.
    """

    variant: Variant = VARIANTS["v1.5"]
    momentum: float = 0.9
    zero_init_last_gamma: bool = True
    kernel_initializer: str = "he_normal"


def convolution_norm(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: str = "same",
    zero_init_gamma: bool = False,
    style: Style,
    name: str,
) -> keras.KerasTensor:
    """Convolution, then batch normalisation: (batch, h, w, c) to (batch, h / stride, w / stride, filters)."""
    x = Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=style.variant.use_bias,
        kernel_initializer=style.kernel_initializer,
        name=f"{name}_conv",
    )(x)
    return BatchNormalization(
        momentum=style.momentum,
        epsilon=style.variant.epsilon,
        gamma_initializer="zeros" if zero_init_gamma else "ones",
        name=f"{name}_bn",
    )(x)


def _shortcut(x: keras.KerasTensor, channels: int, stride: int, style: Style, name: str) -> keras.KerasTensor:
    """A 1x1 convolution that gives the input the resolution and the channels of the residual branch."""
    if stride > 1 and style.variant.pooled_shortcut:
        # With "same", padding does not count in the average.
        x = keras.layers.AveragePooling2D(stride, padding="same", name=f"{name}_0_pool")(x)
        stride = 1
    return convolution_norm(x, channels, 1, stride=stride, style=style, name=f"{name}_0")


def _residual(x: keras.KerasTensor, filters: int, stride: int, style: Style, name: str) -> keras.KerasTensor:
    """The residual branch, parallel to the shortcut: 1x1, 3x3 and 1x1 convolutions."""
    stride_1x1, stride_3x3 = (1, stride) if style.variant.stride_in_3x3 else (stride, 1)
    x = convolution_norm(x, filters, 1, stride=stride_1x1, style=style, name=f"{name}_1")
    x = ReLU(name=f"{name}_1_relu")(x)
    x = convolution_norm(x, filters, 3, stride=stride_3x3, style=style, name=f"{name}_2")
    x = ReLU(name=f"{name}_2_relu")(x)
    return convolution_norm(
        x, EXPANSION * filters, 1, zero_init_gamma=style.zero_init_last_gamma, style=style, name=f"{name}_3"
    )


def _join(shortcut: keras.KerasTensor, residual: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.Add(name=f"{name}_add")([shortcut, residual])
    return ReLU(name=f"{name}_out")(x)


def convolution_block(
    x: keras.KerasTensor, filters: int, *, stride: int = 2, style: Style = Style(), name: str
) -> keras.KerasTensor:
    """Bottleneck block whose shortcut is a 1x1 convolution, so that channels and resolution can change.

    Args:
        x: (batch, h, w, c).
        filters: width of the bottleneck; the output has four times as many channels.
        stride: 1, or 2 to halve height and width (rounded up).
        style: see `Style`.
        name: prefix of the layers' names.

    Returns:
        (batch, h / stride, w / stride, 4 * filters).
    """
    shortcut = _shortcut(x, EXPANSION * filters, stride, style, name)
    return _join(shortcut, _residual(x, filters, stride, style, name), name)


def identity_block(x: keras.KerasTensor, filters: int, *, style: Style = Style(), name: str) -> keras.KerasTensor:
    """Bottleneck block whose shortcut is the input itself.

    Args:
        x: (batch, h, w, 4 * filters).
        filters: width of the bottleneck.
        style: see `Style`.
        name: prefix of the layers' names.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: `x` does not have 4 * filters channels.
    """
    if x.shape[-1] != EXPANSION * filters:
        raise ValueError(
            f"identity_block needs an input of 4 * filters = {EXPANSION * filters} channels, to which it adds its output. "
            f"Received: {x.shape[-1]} channels. Use convolution_block to change their number."
        )
    return _join(x, _residual(x, filters, 1, style, name), name)


def basic_block(x: keras.KerasTensor, filters: int, *, stride: int = 1, style: Style = Style(), name: str) -> keras.KerasTensor:
    """Block of two 3x3 convolutions, used in the networks of 18 and 34 layers.

    Its shortcut is the input itself, or a 1x1 convolution if the resolution or the number of channels changes.

    Args:
        x: (batch, h, w, c).
        filters: channels of the output.
        stride: 1, or 2 to halve height and width (rounded up); all variants have it in the first convolution.
        style: see `Style`.
        name: prefix of the layers' names.

    Returns:
        (batch, h / stride, w / stride, filters).
    """
    shortcut = x if stride == 1 and x.shape[-1] == filters else _shortcut(x, filters, stride, style, name)
    x = convolution_norm(x, filters, 3, stride=stride, style=style, name=f"{name}_1")
    x = ReLU(name=f"{name}_1_relu")(x)
    x = convolution_norm(x, filters, 3, zero_init_gamma=style.zero_init_last_gamma, style=style, name=f"{name}_2")
    return _join(shortcut, x, name)
