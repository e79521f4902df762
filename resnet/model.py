"""ResNet-50 as one Keras model: stem, four stages of (3, 4, 6, 3) bottleneck blocks, head."""

from collections.abc import Sequence
from typing import Any, Self

import keras

from resnet.blocks import VARIANTS, Style, convolution_block, convolution_norm, identity_block
from resnet.layers import ReLU


@keras.saving.register_keras_serializable(package="resnet")
class ResNet(keras.Model):
    """ResNet-50 in the Functional API (He et al. 2015, table 1), from normalised pixels to logits.

    Args:
        input_shape: (height, width, channels) of an image.
        classes: number of classes, the width of the head.
        variant: "v1.5" (stride in the 3x3, no biases) or "v1" (stride in the first 1x1, biased convolutions, as
            `keras.applications.ResNet50`).
        blocks: blocks in each stage; (3, 4, 6, 3) makes 50 layers.
        width: channels of the stem; the stages' bottlenecks are 1, 2, 4, 8 times as wide.
        momentum: of the moving statistics of batch normalisation.
        zero_init_last_gamma: start every block as the identity.
        class_names: the label names in the order of the logits; kept in a saved model, so that it says what it knows.
        name: of the Keras model.

    Input: (batch, height, width, channels) float32, see `resnet.normalisation`. Output: (batch, classes) float32 logits.
    What lies between is computed in the type of Keras's dtype policy at the time of making. It is a matter of the machine, and
    `get_config` leaves it out. Under the mixed policies the weights are float32.

    Raises:
        ValueError: an unknown variant, fewer than two classes, no stages, or names that are not one for each class.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        variant: str = "v1.5",
        blocks: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        momentum: float = 0.9,
        zero_init_last_gamma: bool = True,
        class_names: Sequence[str] | None = None,
        name: str = "resnet",
    ) -> None:
        _check(variant, blocks, classes, class_names)
        style = Style(VARIANTS[variant], momentum, zero_init_last_gamma)
        inputs = keras.Input(tuple(input_shape), name="images")
        x = _stem(inputs, width, style)
        for stage, depth in enumerate(blocks):
            x = _stage(x, width * 2**stage, depth, stride=1 if stage == 0 else 2, style=style, name=f"conv{stage + 2}")
        super().__init__(inputs, _head(x, classes), name=name)
        self._arguments: dict[str, Any] = {
            "input_shape": list(input_shape),
            "classes": classes,
            "variant": variant,
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
        """The constructor's arguments: they say all about the architecture, in one line of a saved model."""
        return {key: list(value) if isinstance(value, list) else value for key, value in self._arguments.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> Self:
        """The network that `get_config` described, with new weights."""
        return cls(**config)


def _check(variant: str, blocks: Sequence[int], classes: int, class_names: Sequence[str] | None) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}. Received: {variant!r}.")
    if not blocks or min(blocks) < 1:
        raise ValueError(f"blocks must name at least one stage of at least one block. Received: {list(blocks)}.")
    if classes < 2:
        raise ValueError(f"classes must be at least 2. Received: {classes}.")
    if class_names is not None and len(class_names) != classes:
        raise ValueError(f"class_names must have one name for each of {classes} classes. Received: {len(class_names)}.")


def _stem(x: keras.KerasTensor, width: int, style: Style) -> keras.KerasTensor:
    """7x7 convolution of stride 2 and 3x3 max-pooling of stride 2: a quarter of the height and width."""
    # Padded on all sides alike: "same" would pad an even size on the right and bottom only and shift the picture.
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = convolution_norm(x, width, 7, stride=2, padding="valid", style=style, name="conv1")
    x = ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _stage(x: keras.KerasTensor, filters: int, depth: int, *, stride: int, style: Style, name: str) -> keras.KerasTensor:
    """One convolution block, then depth - 1 identity blocks."""
    x = convolution_block(x, filters, stride=stride, style=style, name=f"{name}_block1")
    for block in range(2, depth + 1):
        x = identity_block(x, filters, style=style, name=f"{name}_block{block}")
    return x


def _head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Global average pooling, whatever the size that is left, and one dense layer giving logits.

    In float32 always: bfloat16 has three digits, and probabilities are made of differences of logits.
    """
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    return keras.layers.Dense(classes, name="predictions", dtype="float32")(x)
