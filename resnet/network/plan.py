"""The convolutions of a ResNet as plain data, for engines that build the network without Keras.

`resnet.network.model.ResNet` is what is trained. A test compares the two for every depth, variant and stem.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resnet.network.variants import BASIC_DEPTHS, EXPANSION, VARIANTS


@dataclass(frozen=True)
class Convolution:
    """A convolution, which a batch normalisation follows.

    Attributes:
        name: of its layer in `ResNet`.
        side: height and width of the kernel.
        inputs: channels of the input.
        filters: channels of the output.
        stride: down and across.
        padded: whether all sides get `side // 2` zeros. Otherwise the padding is what TensorFlow calls "SAME".
    """

    name: str
    side: int
    inputs: int
    filters: int
    stride: int = 1
    padded: bool = False


@dataclass(frozen=True)
class Block:
    """A residual block: the sum of convolutions, with a ReLU after each but the last, and of a shortcut; then a ReLU.

    Attributes:
        residual: the convolutions.
        shortcut: the convolution of the shortcut; None where the shortcut is the input itself.
        pool: height and width of the windows that are averaged before the shortcut's convolution; 1 for none.
    """

    residual: list[Convolution]
    shortcut: Convolution | None = None
    pool: int = 1


@dataclass(frozen=True)
class Plan:
    """A network without its head, which averages over all pixels and has one dense layer.

    Attributes:
        stem: convolutions, with a ReLU after each.
        pooled: whether max-pooling of 3x3 pixels with stride 2 and padding of one pixel follows the stem.
        blocks: the residual blocks.
        features: channels of the last block.
        epsilon: of all batch normalisations.
    """

    stem: list[Convolution]
    pooled: bool
    blocks: list[Block]
    features: int
    epsilon: float

    def convolutions(self) -> Iterator[Convolution]:
        """All convolutions in the order of Keras's layers, which is also that of their numbers in a model file."""
        yield from self.stem
        for block in self.blocks:
            yield from block.residual[:-1]
            if block.shortcut:
                yield block.shortcut
            yield block.residual[-1]


def plan(config: dict[str, Any]) -> Plan:
    """The convolutions of a network.

    Args:
        config: all arguments of `ResNet`, as in `resnet.network.archive.ModelFacts`.
    """
    variant, width = VARIANTS[config["variant"]], config["width"]
    large, basic = config["stem"] == "large", config["depth"] in BASIC_DEPTHS
    blocks: list[Block] = []
    channels = width
    for stage, count in enumerate(config["blocks"]):
        for number in range(1, count + 1):
            name, filters = f"conv{stage + 2}_block{number}", width * 2**stage
            stride = 2 if stage and number == 1 else 1
            strides = (1, stride) if variant.stride_in_3x3 else (stride, 1)
            residual = _basic(name, channels, filters, stride) if basic else _bottleneck(name, channels, filters, strides)
            outputs = residual[-1].filters
            pool = stride if variant.pooled_shortcut else 1
            shortcut = Convolution(f"{name}_0_conv", 1, channels, outputs, stride // pool)
            needed = stride > 1 or channels != outputs or (number == 1 and not basic)
            blocks.append(Block(residual, shortcut, pool) if needed else Block(residual))
            channels = outputs
    return Plan(_stem(width, large=large, deep=variant.deep_stem), large, blocks, channels, variant.epsilon)


def _stem(width: int, *, large: bool, deep: bool) -> list[Convolution]:
    stride = 2 if large else 1
    if not deep:
        return [Convolution("conv1_conv", 7 if large else 3, 3, width, stride, padded=large)]
    half = width // 2
    return [
        Convolution("conv1_1_conv", 3, 3, half, stride, padded=large),
        Convolution("conv1_2_conv", 3, half, half),
        Convolution("conv1_3_conv", 3, half, width),
    ]


def _basic(name: str, inputs: int, filters: int, stride: int) -> list[Convolution]:
    return [
        Convolution(f"{name}_1_conv", 3, inputs, filters, stride),
        Convolution(f"{name}_2_conv", 3, filters, filters),
    ]


def _bottleneck(name: str, inputs: int, filters: int, strides: tuple[int, int]) -> list[Convolution]:
    return [
        Convolution(f"{name}_1_conv", 1, inputs, filters, strides[0]),
        Convolution(f"{name}_2_conv", 3, filters, filters, strides[1]),
        Convolution(f"{name}_3_conv", 1, filters, EXPANSION * filters),
    ]
