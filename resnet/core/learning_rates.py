"""The learning rate that suits an optimizer and a batch size, for `train.learning_rate: auto`."""

import math

# Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.1: 0.1 for 256 images, with Nesterov's momentum of 0.9.
_SGD, _SGD_BATCH = 0.1, 256
# The default of this project, with which docs/recipes.md measures; Adam's own default is half of it.
_ADAM, _ADAM_BATCH = 0.002, 32


def suitable_rate(optimizer: str, batch_size: int) -> float:
    """The peak of the learning rate.

    For sgd it is proportional to the batch size (Goyal et al. 2017). For adam and adamw, which divide gradients by their
    magnitude, it is proportional to the square root (Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient
    Algorithms", 2022).

    Args:
        optimizer: adam, adamw or sgd.
        batch_size: images in a step, on all devices together.
    """
    if optimizer == "sgd":
        return _SGD * batch_size / _SGD_BATCH
    return _ADAM * math.sqrt(batch_size / _ADAM_BATCH)
