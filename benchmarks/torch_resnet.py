"""ResNet-50 v1.5 in PyTorch, for comparison: He et al. 2015, table 1, with the stride in the 3x3 convolution."""

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


def resnet50(classes: int) -> nn.Module:
    """ResNet-50 from (batch, 3, height, width) to (batch, classes) logits; in channels-last order, which is faster on CPUs."""
    layers: list[nn.Module] = [convolution_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        for block in range(depth):
            layers.append(Bottleneck(channels, 64 * 2**stage, 2 if stage and not block else 1))
            channels = 4 * 64 * 2**stage
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    network: Any = nn.Sequential(*layers)  # PyTorch's type stubs lack `to` with a memory format as the only argument
    return network.to(memory_format=torch.channels_last)
