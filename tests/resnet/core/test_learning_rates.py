"""The learning rate for an optimizer and a batch size."""

import pytest

from resnet.core.learning_rates import suitable_rate


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "rate"),
    [
        ("sgd", 32, 0.1),
        ("sgd", 128, 0.2),
        ("sgd", 8, 0.05),
        ("adam", 32, 0.002),
        ("adam", 128, 0.004),
        ("adamw", 8, 0.001),
    ],
)
def test_it_grows_with_the_batch(optimizer: str, batch_size: int, rate: float) -> None:
    assert suitable_rate(optimizer, batch_size) == pytest.approx(rate)
