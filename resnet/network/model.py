"""The ResNets as one Keras model: stem, four stages of blocks, head. ResNet-50 has (3, 4, 6, 3) bottleneck blocks."""

from collections.abc import Sequence
from typing import Any, Self

import keras

from resnet.network.blocks import VARIANTS, Style, basic_block, convolution_block, convolution_norm, identity_block
from resnet.network.layers import ReLU

DEPTHS = {  # layers with weights on the longest way, and blocks in each stage: He et al. 2015, table 1
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEMS = ("large", "small", "auto")

_BASIC = (18, 34)  # of basic blocks; the others are of bottleneck blocks
_SMALL = 64  # pixels: the large stem and the stages after it would leave 2x2 pixels of such an image to the last one


@keras.saving.register_keras_serializable(package="resnet")
class ResNet(keras.Model):
    """A ResNet, by default of 50 layers, in the Functional API (He et al. 2015, table 1), from normalised pixels to logits.

    Args:
        input_shape: (height, width, channels) of an image.
        classes: number of classes, the width of the head.
        depth: a key of `DEPTHS`: 18 and 34 are made of basic blocks, 50, 101 and 152 of bottleneck blocks.
        variant: "v1.5" (stride in the 3x3, no biases), "v1" (stride in the first 1x1, biased convolutions, as in
            `keras.applications`) or "D" (v1.5 with a deep stem and average-pooled shortcuts).
        stem: "large" (a quarter of the height and width is left), "small" (all of it is, as for CIFAR in He et al. 2015,
            section 4.2, at about 16 times the cost), or "auto": "small" for images of up to 64 pixels.
        blocks: blocks in each stage, instead of as many as make the depth.
        width: channels of the stem; the stages' 3x3 convolutions are 1, 2, 4, 8 times as wide.
        momentum: of the moving statistics of batch normalisation.
        zero_init_last_gamma: start every block as the identity.
        class_names: the label names in the order of the logits; kept in a saved model, so that it says what it knows.
        name: of the Keras model.
        draw_kernels: give convolutions random kernels; without them they are zero, for weights that are about to be loaded:
            drawing takes half of the time in which a ResNet-50 is made.

    Input: (batch, height, width, channels) float32, see `resnet.network.normalisation`. Output: (batch, classes) float32
    logits. What lies between is computed in the type of Keras's dtype policy at the time of making. It is a matter of the
    machine, and `get_config` leaves it out. Under the mixed policies the weights are float32.

    Raises:
        ValueError: an unknown depth, variant or stem, fewer than two classes, no stages, or not one name for each class.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        depth: int = 50,
        variant: str = "v1.5",
        stem: str = "large",
        blocks: Sequence[int] | None = None,
        width: int = 64,
        momentum: float = 0.9,
        zero_init_last_gamma: bool = True,
        class_names: Sequence[str] | None = None,
        name: str = "resnet",
        draw_kernels: bool = True,
    ) -> None:
        _check_kind(depth, variant, stem)
        _check_size(blocks, classes, class_names)
        blocks = DEPTHS[depth] if blocks is None else blocks
        stem = choose_stem(stem, input_shape)
        style = Style(VARIANTS[variant], momentum, zero_init_last_gamma, "he_normal" if draw_kernels else "zeros")
        inputs = keras.Input(tuple(input_shape), name="images")
        x = _small_stem(inputs, width, style) if stem == "small" else _large_stem(inputs, width, style)
        make_stage = _basic_stage if depth in _BASIC else _bottleneck_stage
        for stage, count in enumerate(blocks):
            x = make_stage(x, width * 2**stage, count, stride=1 if stage == 0 else 2, style=style, name=f"conv{stage + 2}")
        super().__init__(inputs, _head(x, classes), name=name)
        self._arguments: dict[str, Any] = {
            "input_shape": list(input_shape),
            "classes": classes,
            "depth": depth,
            "variant": variant,
            "stem": stem,
            "blocks": list(blocks),
            "width": width,
            "momentum": momentum,
            "zero_init_last_gamma": zero_init_last_gamma,
            "class_names": None if class_names is None else list(class_names),
            "name": name,
        }

    @property
    def classes(self) -> int:
        """Number of classes, the width of the head."""
        return int(self._arguments["classes"])

    @property
    def class_names(self) -> list[str] | None:
        """Label names in the order of the logits, if they were given."""
        names = self._arguments["class_names"]
        return None if names is None else list(names)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that say all about the architecture, in one line of a saved model."""
        return {key: list(value) if isinstance(value, list) else value for key, value in self._arguments.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> Self:
        """The network that `get_config` described, with new weights."""
        return cls(**config)


def choose_stem(stem: str, input_shape: Sequence[int]) -> str:
    """What "auto" comes to for images of (height, width, channels); any other stem as it is."""
    if stem != "auto":
        return stem
    return "small" if min(input_shape[:2]) <= _SMALL else "large"


def _check_kind(depth: int, variant: str, stem: str) -> None:
    for name, value, known in (("depth", depth, DEPTHS), ("variant", variant, VARIANTS), ("stem", stem, STEMS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(str, known))}. Received: {value!r}.")


def _check_size(blocks: Sequence[int] | None, classes: int, class_names: Sequence[str] | None) -> None:
    if blocks is not None and (not blocks or min(blocks) < 1):
        raise ValueError(f"blocks must name at least one stage of at least one block. Received: {list(blocks)}.")
    if classes < 2:
        raise ValueError(f"classes must be at least 2. Received: {classes}.")
    if class_names is not None and len(class_names) != classes:
        raise ValueError(f"class_names must have one name for each of {classes} classes. Received: {len(class_names)}.")


def _large_stem(x: keras.KerasTensor, width: int, style: Style) -> keras.KerasTensor:
    """Convolution of stride 2, 7x7 or in variant D three of 3x3, and 3x3 max-pooling of stride 2: a quarter of each side."""
    # Padded on all sides alike: "same" would pad an even size on the right and bottom only and shift the picture.
    if style.variant.deep_stem:
        x = keras.layers.ZeroPadding2D(1, name="conv1_pad")(x)
        x = _deep_convolutions(x, width, stride=2, padding="valid", style=style)
    else:
        x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = convolution_norm(x, width, 7, stride=2, padding="valid", style=style, name="conv1")
    x = ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _small_stem(x: keras.KerasTensor, width: int, style: Style) -> keras.KerasTensor:
    """One 3x3 convolution, or in variant D three, that keep the resolution."""
    if style.variant.deep_stem:
        x = _deep_convolutions(x, width, stride=1, padding="same", style=style)
    else:
        x = convolution_norm(x, width, 3, style=style, name="conv1")
    return ReLU(name="conv1_relu")(x)


def _deep_convolutions(x: keras.KerasTensor, width: int, *, stride: int, padding: str, style: Style) -> keras.KerasTensor:
    """Three 3x3 convolutions of a half, a half and the whole of the width (He et al. 2018, section 4, ResNet-C)."""
    x = convolution_norm(x, width // 2, 3, stride=stride, padding=padding, style=style, name="conv1_1")
    x = ReLU(name="conv1_1_relu")(x)
    x = convolution_norm(x, width // 2, 3, style=style, name="conv1_2")
    x = ReLU(name="conv1_2_relu")(x)
    return convolution_norm(x, width, 3, style=style, name="conv1_3")


def _bottleneck_stage(
    x: keras.KerasTensor, filters: int, count: int, *, stride: int, style: Style, name: str
) -> keras.KerasTensor:
    """One convolution block, then count - 1 identity blocks."""
    x = convolution_block(x, filters, stride=stride, style=style, name=f"{name}_block1")
    for block in range(2, count + 1):
        x = identity_block(x, filters, style=style, name=f"{name}_block{block}")
    return x


def _basic_stage(x: keras.KerasTensor, filters: int, count: int, *, stride: int, style: Style, name: str) -> keras.KerasTensor:
    """Basic blocks, the first of which may halve the resolution."""
    x = basic_block(x, filters, stride=stride, style=style, name=f"{name}_block1")
    for block in range(2, count + 1):
        x = basic_block(x, filters, style=style, name=f"{name}_block{block}")
    return x


def _head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Global average pooling, whatever the size that is left, and one dense layer giving logits.

    In float32 always: bfloat16 has three digits, and probabilities are made of differences of logits.
    """
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    return keras.layers.Dense(classes, name="predictions", dtype="float32")(x)
