"""The learning rate for an optimizer and a batch size."""

import pytest

from resnet.core.learning_rates import suitable_rate


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "rate"),
    [
        ("sgd", 256, 0.1),  # ResNet-50 on ImageNet in Goyal et al. 2017, and 8,192 images in their table 1
        ("sgd", 8192, 3.2),
        ("sgd", 32, 0.0125),
        ("adam", 32, 0.002),
        ("adam", 128, 0.004),
        ("adamw", 8, 0.001),
    ],
)
def test_it_grows_with_the_batch(optimizer: str, batch_size: int, rate: float) -> None:
    assert suitable_rate(optimizer, batch_size) == pytest.approx(rate)
