"""The learning rate that suits an optimizer and a batch size, for `train.learning_rate: auto`."""

import math

# At a batch of 32, by docs/recipes.md ("Learning rates"). Keras's default is half of it for adam, a tenth of it for sgd.
_RATES = {"adam": 0.002, "adamw": 0.002, "sgd": 0.1}
_BATCH = 32


def suitable_rate(optimizer: str, batch_size: int) -> float:
    """The peak of the learning rate: proportional to the square root of the batch size.

    For adam and adamw the rule is that of Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms"
    (2022). For sgd it keeps the variance of an update. Goyal et al., "Accurate, Large Minibatch SGD" (2017), scale sgd in
    proportion to the batch; the few rates that docs/recipes.md has for other batches favour neither.

    Args:
        optimizer: adam, adamw or sgd.
        batch_size: images in a step, on all devices together.
    """
    return _RATES[optimizer] * math.sqrt(batch_size / _BATCH)
