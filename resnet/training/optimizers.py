"""How the weights follow the gradients: learning rate and update rule."""

from collections.abc import Sequence

import keras
import tensorflow as tf

OPTIMIZERS = ("adam", "adamw", "sgd")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay pulls at a variable: at kernels only, not at biases or batch normalisation.

    He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks" (2018), section 3.1.
    """
    return bool(variable.path.endswith("/kernel"))


def warmup_cosine(
    peak: float, steps: int, warmup_steps: int, *, cosine_steps: keras.Variable | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear from near zero to `peak` in `warmup_steps`, then half a cosine down to zero at `steps`.

    Goyal et al. 2017, section 2.2 (warm-up); Loshchilov and Hutter, "SGDR" (2016), section 3 (cosine). The end can be moved
    while the training runs by `cosine_steps`, () float32, the steps from the peak to zero.
    """
    return keras.optimizers.schedules.CosineDecay(
        # Not zero, which would waste the first step.
        initial_learning_rate=peak / (warmup_steps + 1) if warmup_steps else peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps if cosine_steps is None else cosine_steps,
    )


class WarmRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """One schedule after another, each from its own beginning (Loshchilov and Hutter, "SGDR", 2016).

    Until a schedule begins, the rate is what it is without it: so a longer run can take over where a shorter one ended.

    Args:
        schedules: at least one.
        starts: the steps at which the second and later ones begin.
    """

    def __init__(self, schedules: Sequence[keras.optimizers.schedules.LearningRateSchedule], starts: Sequence[int]) -> None:
        self._first = schedules[0]
        self._later = list(zip(starts, schedules[1:], strict=True))

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at a step, () float32."""
        step = tf.convert_to_tensor(step)
        rate = self._first(step)
        for start, schedule in self._later:
            rate = tf.where(step >= start, schedule(step - start), rate)
        return rate


class HeadFirst(keras.optimizers.schedules.LearningRateSchedule):
    """One rate while the head is trained alone, then a schedule from its beginning.

    Args:
        rate: for the head.
        steps: that it is trained alone.
        then: for the whole network.
    """

    def __init__(self, rate: float, steps: int, then: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._rate = rate
        self._steps = steps
        self._then = then

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at a step, () float32."""
        step = tf.convert_to_tensor(step)
        return tf.where(step < self._steps, self._rate, self._then(tf.maximum(step - self._steps, 0)))


class FusedAdam(keras.optimizers.Adam):
    """Adam by TensorFlow's own kernel: one pass over a variable where Keras makes several.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), with the correction of bias in the learning rate
    (end of section 2), as Keras's. With small images the update is a large part of a step; measured at
    32 pixels and batch 32 on 2 cores, a step takes 0.92 of the time that it takes with Keras's Adam.

    Attributes:
        head_steps: steps in which the head is trained alone. After these the correction of bias begins anew, because that is
            where the moments of all else begin; the head, whose moments are warm, follows more slowly for some steps.
    """

    head_steps: int = 0

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> tf.Tensor:
        """Updates variables (float32) and their moments in place; returns the number of steps."""
        count = tf.convert_to_tensor(self.iterations)
        if self.head_steps:
            count = tf.where(count < self.head_steps, count, count - self.head_steps)
        step = tf.cast(count + 1, tf.float32)
        betas = tf.constant(self.beta_1), tf.constant(self.beta_2)
        # Made here once, not for each of 161 variables.
        self._scalars = {
            "beta1_power": tf.pow(betas[0], step),
            "beta2_power": tf.pow(betas[1], step),
            "beta1": betas[0],
            "beta2": betas[1],
            "epsilon": tf.constant(self.epsilon),
        }
        return super().apply(grads, trainable_variables)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable and its moments."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, tf.float32),
            grad=gradient,
            **self._scalars,
        )


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule | float,
    momentum: float,
    weight_decay: float,
    variables: Sequence[keras.Variable],
    *,
    loss_scaling: bool = False,
    head_steps: int = 0,
) -> keras.optimizers.Optimizer:
    """An optimizer, built for `variables`.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: a number, or a schedule over steps.
        momentum: of SGD (Nesterov's), or beta_1 of Adam and AdamW.
        weight_decay: of AdamW, which takes weight_decay * learning_rate off each kernel at each step (Loshchilov and Hutter,
            "Decoupled Weight Decay Regularization", 2017). For SGD and Adam it is an L2 term, which `Trainer` adds.
        variables: that are trained.
        loss_scaling: for float16, whose least number is 6e-8: gradients are taken of the loss times a factor. It halves when
            one of them overflows, which skips the step, and doubles after 2,000 steps without an overflow (Micikevicius et
            al., "Mixed Precision Training", 2017, section 3.2).
        head_steps: in which the head is trained alone, see `FusedAdam`.

    Raises:
        ValueError: an unknown name.
    """
    optimizer: keras.optimizers.Optimizer
    if name == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=momentum > 0)
    elif name == "adam":
        optimizer = FusedAdam(learning_rate, beta_1=momentum)
    elif name == "adamw":
        optimizer = FusedAdam(learning_rate, weight_decay=weight_decay, beta_1=momentum)
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not is_decayed(variable)])
    else:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}. Received: {name!r}.")
    if isinstance(optimizer, FusedAdam):
        optimizer.head_steps = head_steps
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer
