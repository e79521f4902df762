"""ResNet-50 v1.5 and ResNet-18 in PyTorch, for comparison: He et al. 2015, table 1, with the stride in the 3x3 convolution."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def convolution_norm(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, then batch normalisation."""
    convolution = nn.Conv2d(channels, filters, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class Bottleneck(nn.Module):
    """The bottleneck block: 1x1, 3x3 and 1x1 convolutions, and a shortcut."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = convolution_norm(channels, filters, 1)
        self.second = convolution_norm(filters, filters, 3, stride)
        self.third = convolution_norm(filters, 4 * filters, 1)
        same = channels == 4 * filters and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else convolution_norm(channels, 4 * filters, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, h, w) to (batch, 4 * filters, h / stride, w / stride)."""
        y = self.relu(self.second(self.relu(self.first(x))))
        return self.relu(self.third(y) + self.shortcut(x))


class Basic(nn.Module):
    """The basic block: two 3x3 convolutions, and a shortcut."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = convolution_norm(channels, filters, 3, stride)
        self.second = convolution_norm(filters, filters, 3)
        same = channels == filters and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else convolution_norm(channels, filters, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, h, w) to (batch, filters, h / stride, w / stride)."""
        return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))


def resnet50(classes: int) -> nn.Module:
    """ResNet-50 from (batch, 3, height, width) to (batch, classes) logits."""
    stem = [convolution_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return _network(stem, Bottleneck, 4, (3, 4, 6, 3), classes)


def resnet18(classes: int) -> nn.Module:
    """ResNet-18 from (batch, 3, height, width) to (batch, classes) logits. Its stem is a 3x3 convolution, for small images."""
    return _network([convolution_norm(3, 64, 3), nn.ReLU(inplace=True)], Basic, 1, (2, 2, 2, 2), classes)


def _network(
    stem: list[nn.Module], block: Callable[[int, int, int], nn.Module], expansion: int, depths: Sequence[int], classes: int
) -> nn.Module:
    """Stages of blocks behind a stem, then the head; in channels-last order, which is faster on CPUs."""
    layers, channels = list(stem), 64
    for stage, depth in enumerate(depths):
        for number in range(depth):
            layers.append(block(channels, 64 * 2**stage, 2 if stage and not number else 1))
            channels = expansion * 64 * 2**stage
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    network: Any = nn.Sequential(*layers)  # PyTorch's type stubs lack `to` with a memory format as the only argument
    return network.to(memory_format=torch.channels_last)
