"""All ResNets as one Keras model: a stem, four stages of blocks and a head. ResNet-50 has (3, 4, 6, 3) bottleneck blocks."""

import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from resnet.network.blocks import Style, basic_block, convolution_block, convolution_norm, identity_block
from resnet.network.known_score import KnownScore
from resnet.network.layers import MaxPooling2D, ReLU
from resnet.network.variants import BASIC_DEPTHS, VARIANTS

DEPTHS = {  # layers with weights on the longest path, and blocks in each stage: He et al. 2015, table 1
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEMS = ("large", "small", "auto")

_SMALL = 64  # pixels: of such an image the large stem would leave 2x2 pixels for the last stage


@keras.saving.register_keras_serializable(package="resnet")
class ResNet(keras.Model):
    """A ResNet, by default of 50 layers, in the Functional API (He et al. 2015, table 1), from normalised pixels to logits.

    Args:
        input_shape: (height, width, channels) of an image.
        classes: number of classes, the width of the head.
        depth: a key of `DEPTHS`; 18 and 34 have basic blocks, 50, 101 and 152 bottleneck blocks.
        variant: "v1.5" (stride in the 3x3, no biases), "v1" (stride in the first 1x1, biased convolutions, as in
            `keras.applications`) or "D" (v1.5 with a deep stem and average-pooled shortcuts).
        stem: "large" (reduces height and width to a quarter), "small" (keeps them, as for CIFAR in He et al. 2015, section 4.2,
            at about 16 times the cost), or "auto": "small" for images of up to 64 pixels.
        blocks: blocks in each stage, instead of those that `DEPTHS` has for the depth.
        width: channels of the stem; the 3x3 convolutions of the stages are 1, 2, 4 and 8 times as wide.
        momentum: of the moving statistics of batch normalisation.
        zero_init_last_gamma: start every block as the identity.
        class_names: in the order of the logits; stored in a saved model.
        temperature: by which `calibrate` has divided the logits; None if it has not. It is a record and changes no weight.
        offset: that `calibrate` has added to the logits afterwards; only with `temperature` and `multi_label`. A record, too.
        refuses: the largest share of new images like the validation images that `known_score` refuses; None without such a
            score. It is a record, too.
        multi_label: whether an image may have any number of the classes. A logit then says whether the image has this class,
            by the logistic function, and not which one of the classes it has. It changes no layer.
        thresholds: of the probabilities, one for each class in the order of the logits; an image has the classes whose
            probabilities are at least as high. None if they have not been fitted; only with `multi_label`.
        name: of the Keras model.
        draw_kernels: give convolutions random kernels. Otherwise they are zero, for weights that will be loaded; drawing takes
            half of the time of building a ResNet-50.

    Input: (batch, height, width, channels) float32, see `resnet.network.normalisation`. Output: (batch, classes) float32
    logits. The layers compute in the type of Keras's dtype policy when the network is built. `get_config` leaves this type out,
    because it depends on the machine. Under the mixed policies the weights are float32.

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
        temperature: float | None = None,
        offset: float | None = None,
        refuses: float | None = None,
        multi_label: bool = False,
        thresholds: Sequence[float] | None = None,
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
        make_stage = _basic_stage if depth in BASIC_DEPTHS else _bottleneck_stage
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
        if temperature is not None:  # a network that is not calibrated keeps the bytes that it always had
            self._arguments["temperature"] = temperature
        if offset is not None:
            self._arguments["offset"] = offset
        if refuses is not None:
            self._arguments["refuses"] = refuses
        if multi_label:
            self._arguments["multi_label"] = True
        if thresholds is not None:
            self.decide_by(thresholds)
        self._known_score: KnownScore | None = None

    @property
    def known_score(self) -> KnownScore | None:
        """The score of the features, the input of the head, that is negative for images of no class; None without one."""
        return self._known_score

    def refuse(self, score: KnownScore, share: float) -> None:
        """Adds a score that refuses at most this share of new images like the validation images."""
        self._known_score = score
        self._arguments["refuses"] = share

    @property
    def multi_label(self) -> bool:
        """Whether an image may have any number of the classes."""
        return "multi_label" in self._arguments

    @property
    def thresholds(self) -> list[float] | None:
        """The probability of each class from which on an image has it, 0.5 where not fitted; None without `multi_label`."""
        return list(self._arguments.get("thresholds", [0.5] * self.classes)) if self.multi_label else None

    def decide_by(self, thresholds: Sequence[float]) -> None:
        """Sets the thresholds.

        Raises:
            ValueError: not one for each class, one outside of (0, 1), or a network that gives one label to each image.
        """
        right = len(thresholds) == self.classes and all(0 < one < 1 for one in thresholds)
        if not (self.multi_label and right):
            raise ValueError(
                f"thresholds must be {self.classes} numbers in (0, 1), of a network with multi_label. "
                f"Received: {list(thresholds)}, multi_label={self.multi_label}."
            )
        self._arguments["thresholds"] = [float(one) for one in thresholds]

    @property
    def classes(self) -> int:
        """Number of classes, the width of the head."""
        return int(self._arguments["classes"])

    @property
    def class_names(self) -> list[str] | None:
        """Class names in the order of the logits, if they were given."""
        names = self._arguments["class_names"]
        return None if names is None else list(names)

    @property
    def temperature(self) -> float:
        """By which `calibrate` has divided the logits; 1 if it has not."""
        return float(self._arguments.get("temperature", 1.0))

    @property
    def offset(self) -> float:
        """What `calibrate` has added to the logits after the division; 0 if nothing."""
        return float(self._arguments.get("offset", 0.0))

    def calibrate(self, temperature: float, offset: float = 0.0) -> None:
        """Divides the logits by a temperature and adds an offset: kernel and bias of the head change.

        The order of the classes stays. Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2. In the
        weights it holds for every program that reads the file, and for every export.

        Args:
            temperature: positive.
            offset: in logits; only with `multi_label`, where it changes probabilities.

        Raises:
            ValueError: the temperature is not positive and finite, the network has one already, or the offset is not finite or
                has no use.
        """
        if not 0 < temperature < math.inf or "temperature" in self._arguments:
            raise ValueError(f"A network is calibrated once, by a positive number. Received: {temperature}.")
        if not math.isfinite(offset) or (offset and not self.multi_label):
            raise ValueError(f"An offset is a finite number, of a network with multi_label. Received: {offset}.")
        head = self.layers[-1]
        kernel, bias = (weight.astype(np.float64) for weight in head.get_weights())  # so that values are rounded only once
        head.set_weights([each.astype(np.float32) for each in (kernel / temperature, bias / temperature + offset)])
        self._arguments["temperature"] = float(temperature)
        if self.multi_label:
            self._arguments["offset"] = float(offset)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, which determine the architecture; a saved model stores them."""
        return {key: list(value) if isinstance(value, list) else value for key, value in self._arguments.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> Self:
        """A new network from the arguments that `get_config` returned, with initial weights."""
        return cls(**config)


def choose_stem(stem: str, input_shape: Sequence[int]) -> str:
    """The stem that "auto" selects for images of (height, width, channels); any other stem is returned unchanged."""
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
    """A 7x7 convolution, or three of 3x3 in variant D, then 3x3 max-pooling; both halve height and width."""
    # Equal padding on all sides: for an even size, "same" pads only right and bottom, which shifts the image.
    if style.variant.deep_stem:
        x = keras.layers.ZeroPadding2D(1, name="conv1_pad")(x)
        x = _deep_convolutions(x, width, stride=2, padding="valid", style=style)
    else:
        x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = convolution_norm(x, width, 7, stride=2, padding="valid", style=style, name="conv1")
    x = ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _small_stem(x: keras.KerasTensor, width: int, style: Style) -> keras.KerasTensor:
    """One 3x3 convolution, or three in variant D; the resolution stays."""
    if style.variant.deep_stem:
        x = _deep_convolutions(x, width, stride=1, padding="same", style=style)
    else:
        x = convolution_norm(x, width, 3, style=style, name="conv1")
    return ReLU(name="conv1_relu")(x)


def _deep_convolutions(x: keras.KerasTensor, width: int, *, stride: int, padding: str, style: Style) -> keras.KerasTensor:
    """Three 3x3 convolutions with half, half and all of the width's channels (He et al. 2018, section 4, ResNet-C)."""
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
    """Basic blocks; the first may halve the resolution."""
    x = basic_block(x, filters, stride=stride, style=style, name=f"{name}_block1")
    for block in range(2, count + 1):
        x = basic_block(x, filters, style=style, name=f"{name}_block{block}")
    return x


def _head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Global average pooling, for any remaining size, and a dense layer that returns the logits.

    Always in float32: probabilities depend on differences of logits, and bfloat16 has only three decimal digits.
    """
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(x)
    return keras.layers.Dense(classes, name="predictions", dtype="float32")(x)
