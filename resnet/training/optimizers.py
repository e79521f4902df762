"""How the weights follow the gradients: learning rate and update rule."""

from collections.abc import Sequence

import keras

OPTIMIZERS = ("adam", "adamw", "sgd")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay pulls at a variable: at kernels only, not at biases or batch normalisation.

    He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks" (2018), section 3.1.
    """
    return bool(variable.path.endswith("/kernel"))


def warmup_cosine(peak: float, steps: int, warmup_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear from near zero to `peak` in `warmup_steps`, then half a cosine down to zero at `steps`.

    Goyal et al. 2017, section 2.2 (warm-up); Loshchilov and Hutter, "SGDR" (2016), section 3 (cosine).
    """
    return keras.optimizers.schedules.CosineDecay(
        # Not zero, which would waste the first step.
        initial_learning_rate=peak / (warmup_steps + 1) if warmup_steps else peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
    )


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule | float,
    momentum: float,
    weight_decay: float,
    variables: Sequence[keras.Variable],
) -> keras.optimizers.Optimizer:
    """An optimizer, built for `variables`.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: a number, or a schedule over steps.
        momentum: of SGD (Nesterov's), or beta_1 of Adam and AdamW.
        weight_decay: of AdamW, which takes weight_decay * learning_rate off each kernel at each step (Loshchilov and Hutter,
            "Decoupled Weight Decay Regularization", 2017). For SGD and Adam it is an L2 term, which `Trainer` adds.
        variables: that are trained.

    Raises:
        ValueError: an unknown name.
    """
    optimizer: keras.optimizers.Optimizer
    if name == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=momentum > 0)
    elif name == "adam":
        optimizer = keras.optimizers.Adam(learning_rate, beta_1=momentum)
    elif name == "adamw":
        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay, beta_1=momentum)
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not is_decayed(variable)])
    else:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}. Received: {name!r}.")
    optimizer.build(variables)
    return optimizer
