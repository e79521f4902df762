"""The learning rate over the steps, and the optimizers."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from resnet.native.copies import KernelCopies
from resnet.native.library import load

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "one_cycle")
RISE = 0.3  # share of one cycle; this and the next two are the defaults of PyTorch
_START, _END = 25.0, 1e4  # the peak is the first by the first rate, and that is the second by the last one


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies to a variable: to kernels only, not to biases or batch normalisation.

    He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks" (2018), section 3.1.
    """
    return bool(variable.path.endswith("/kernel"))


def warmup_cosine(
    peak: float, steps: int, warmup_steps: int, *, cosine_steps: keras.Variable | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A schedule that rises linearly from near zero to `peak`, then falls to zero along half a cosine.

    Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2 (warm-up); Loshchilov and Hutter, "SGDR" (2016),
    section 3 (cosine).

    Args:
        peak: the learning rate after the warm-up.
        steps: the step at which the rate reaches zero.
        warmup_steps: the length of the rise.
        cosine_steps: () float32, the steps from the peak to zero. A variable, so that training can change it while it runs;
            `steps` is then ignored.
    """
    return keras.optimizers.schedules.CosineDecay(
        # A rate of zero would waste the first step.
        initial_learning_rate=peak / (warmup_steps + 1) if warmup_steps else peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps if cosine_steps is None else cosine_steps,
    )


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the peak over 30 % of the steps, then a linear fall to almost zero.

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates" (2018), in the form
    of PyTorch's `OneCycleLR` with anneal_strategy="linear": the fall and what the paper calls the annihilation are one line.
    The momentum does not change; in the paper it does, in the opposite direction.

    Args:
        peak: the largest rate; the first one is a 25th of it.
        steps: of the whole cycle. A variable, () float32, if training can change it while it runs.
    """

    def __init__(self, peak: float, steps: keras.Variable | int) -> None:
        self._peak = peak
        self._steps = steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at a step, () float32."""
        step, steps = tf.cast(step, tf.float32), tf.cast(tf.convert_to_tensor(self._steps), tf.float32)
        top, end = tf.maximum(RISE * steps - 1.0, 0.0), steps - 1.0
        first = self._peak / _START
        rising = first + (self._peak - first) * tf.math.divide_no_nan(step, top)
        fallen = tf.clip_by_value(tf.math.divide_no_nan(step - top, end - top), 0.0, 1.0)
        return tf.where(step < top, rising, self._peak + (first / _END - self._peak) * fallen)


class WarmRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Several schedules in sequence, each counting steps from its own start (Loshchilov and Hutter, "SGDR", 2016).

    A later schedule does not change the rates before its start, so a longer run can continue from the end of a shorter one.

    Args:
        schedules: at least one.
        starts: the steps at which the second and later schedules start.
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


class FreezeFirst(keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate while all layers but the head are frozen, then another schedule from its start.

    Args:
        rate: while they are frozen.
        freeze_steps: how long they are frozen.
        then: the schedule for the whole network.
    """

    def __init__(self, rate: float, freeze_steps: int, then: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._rate = rate
        self._freeze_steps = freeze_steps
        self._then = then

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at a step, () float32."""
        step = tf.convert_to_tensor(step)
        return tf.where(step < self._freeze_steps, self._rate, self._then(tf.maximum(step - self._freeze_steps, 0)))


class NesterovSGD(keras.optimizers.SGD):
    """SGD with Nesterov's momentum and an L2 term.

    Attributes:
        l2: coefficient c of a term c / 2 * |w|^2 in the loss, for each kernel.
    """

    l2: float = 0.0

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> tf.Tensor:
        """Updates variables (float32) in place; returns the number of steps."""
        variables = trainable_variables or self._trainable_variables
        return super().apply(_with_l2(self.l2, grads, variables), trainable_variables)

    def apply_at_once(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], copies: KernelCopies
    ) -> tf.Tensor:
        """Does the same as `apply` in one operation, see `FusedAdam.apply_at_once`."""
        slots = [self.momentums[self._get_variable_index(variable)] for variable in variables] if self.momentum else []
        lists = _lists(gradients, variables, slots, copies)
        rate = tf.cast(self.learning_rate, tf.float32)
        decayed = [is_decayed(variable) for variable in variables]
        ops: Any = load()
        finite: tf.Tensor = ops.resnet_sgd(**lists, rate=rate, momentum=self.momentum, decayed=decayed, l2=self.l2, decay=0.0)
        self.iterations.assign_add(1)
        return finite


class FusedAdam(keras.optimizers.Adam):
    """Adam by TensorFlow's own kernel, which makes one pass over a variable where Keras makes several.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), with the bias correction in the learning rate
    (end of section 2), as in Keras. With small images the update is a large part of a step. Measured at 32 pixels and
    batch 32 on 2 cores, a step takes 0.92 of the time that it takes with Keras's Adam.

    Attributes:
        l2: coefficient c of a term c / 2 * |w|^2 in the loss, for each kernel.
        freeze_steps: steps in which only the head is trained. The bias correction restarts after them, because the moments
            of all other layers start there. The moments of the head are already warm, so it moves more slowly for some steps.
    """

    l2: float = 0.0
    freeze_steps: int = 0

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> tf.Tensor:
        """Updates variables (float32) and their moments in place; returns the number of steps."""
        self._scalars = self._of_step()  # computed once here, not once for each of 161 variables
        variables = trainable_variables or self._trainable_variables
        return super().apply(_with_l2(self.l2, grads, variables), trainable_variables)

    def apply_at_once(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], copies: KernelCopies
    ) -> tf.Tensor:
        """Does the same as `apply`, bit for bit, in one operation of `resnet/native`, and renews the copies.

        Only if `updates_at_once`. It makes one pass over the numbers. `apply` makes one for each of: the cast of the gradient,
        the L2 term or the decay, the update, and the cast of the kernel in the next step.

        Args:
            gradients: float32 or bfloat16, of the shapes of the variables.
            variables: float32.
            copies: of kernels among the variables.

        Returns:
            () bool, whether all one-dimensional variables, before the update, and their gradients are finite.
        """
        indices = [self._get_variable_index(variable) for variable in variables]
        slots = [moments[index] for moments in (self._momentums, self._velocities) for index in indices]
        ops: Any = load()
        finite: tf.Tensor = ops.resnet_adam(
            **_lists(gradients, variables, slots, copies),
            **self._of_step(),
            rate=tf.cast(self.learning_rate, tf.float32),
            decayed=[is_decayed(variable) for variable in variables],
            l2=self.l2,
            decay=self.weight_decay or 0.0,
        )
        self.iterations.assign_add(1)
        return finite

    def _of_step(self) -> dict[str, tf.Tensor]:
        """The numbers of the update that are the same for all variables, but for the learning rate."""
        count = tf.convert_to_tensor(self.iterations)
        if self.freeze_steps:
            count = tf.where(count < self.freeze_steps, count, count - self.freeze_steps)
        step = tf.cast(count + 1, tf.float32)
        betas = tf.constant(self.beta_1), tf.constant(self.beta_2)
        return {
            "beta1_power": tf.pow(betas[0], step),
            "beta2_power": tf.pow(betas[1], step),
            "beta1": betas[0],
            "beta2": betas[1],
            "epsilon": tf.constant(self.epsilon),
        }

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


def updates_at_once(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer has `apply_at_once` here: not without the library, with loss scaling, or on several devices."""
    return isinstance(optimizer, NesterovSGD | FusedAdam) and load() is not None and not tf.distribute.has_strategy()


def _lists(
    gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], slots: Sequence[keras.Variable], copies: KernelCopies
) -> dict[str, list[tf.Tensor] | list[int]]:
    """The lists that `apply_at_once` gives to an operation."""
    found = [copies.of(variable) for variable in variables]
    present = [copy for copy in found if copy is not None]
    places = iter(range(len(present)))
    return {
        "variables": [variable.value.handle for variable in variables],
        "slots": [slot.value.handle for slot in slots],
        "copies": [copy.handle for copy in present],
        "gradients": list(gradients),
        "copy": [-1 if copy is None else next(places) for copy in found],
    }


def _with_l2(l2: float, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]) -> Sequence[tf.Tensor]:
    """Adds the gradient of the L2 term. Adding it here costs one multiply-add a kernel; the gradient tape would cost more."""
    if not l2:
        return gradients
    # Each device adds its part, because the optimizer then sums the gradients of all devices.
    part = tf.constant(l2 / tf.distribute.get_strategy().num_replicas_in_sync)
    return [
        gradient + part * variable if is_decayed(variable) else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule | float,
    momentum: float,
    weight_decay: float,
    variables: Sequence[keras.Variable],
    *,
    loss_scaling: bool = False,
    freeze_steps: int = 0,
) -> keras.optimizers.Optimizer:
    """An optimizer, built for `variables`.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: a number, or a schedule over steps.
        momentum: of SGD (Nesterov's), or beta_1 of Adam and AdamW.
        weight_decay: for kernels only, see `is_decayed`. For SGD and Adam it is the coefficient of an L2 term in the loss. For
            AdamW it is decoupled: weight_decay * learning_rate of each kernel is subtracted at each step (Loshchilov and
            Hutter, "Decoupled Weight Decay Regularization", 2017).
        variables: that are trained.
        loss_scaling: for float16, whose smallest number is 6e-8. The loss is multiplied by a factor before gradients are
            taken. The factor halves when a gradient overflows, and that step is skipped; it doubles after 2,000 steps without
            an overflow (Micikevicius et al., "Mixed Precision Training", 2017, section 3.2).
        freeze_steps: steps in which only the head is trained, see `FusedAdam`.

    Raises:
        ValueError: an unknown name.
    """
    optimizer: keras.optimizers.Optimizer
    if name == "sgd":
        optimizer = NesterovSGD(learning_rate, momentum=momentum, nesterov=momentum > 0)
        optimizer.l2 = weight_decay
    elif name == "adam":
        optimizer = FusedAdam(learning_rate, beta_1=momentum)
        optimizer.l2 = weight_decay
    elif name == "adamw":
        optimizer = FusedAdam(learning_rate, weight_decay=weight_decay, beta_1=momentum)
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not is_decayed(variable)])
    else:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}. Received: {name!r}.")
    if isinstance(optimizer, FusedAdam):
        optimizer.freeze_steps = freeze_steps
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer
