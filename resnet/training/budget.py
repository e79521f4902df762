"""A time budget: how many epochs fit into it, and a learning rate that reaches zero at the end of the last one."""

from collections.abc import Sequence

import keras

from resnet.training.state import Epoch


class Budget:
    """Shortens a run to the whole epochs of training and validation that fit into a number of seconds.

    The learning rate is a function of the completed share of the run, not of the step (Li et al., "Budgeted Training:
    Rethinking Deep Neural Network Training Under Resource Constraints", 2019). The result depends on the speed of the machine,
    so a run with a budget is not byte-reproducible.

    Args:
        seconds: limit for all epochs together, including those before an interruption.
        steps_per_epoch: updates in an epoch.
        before: steps before the cosine starts: the frozen steps and the warm-up.
        steps: length of the cosine if the budget does not shorten it.

    Attributes:
        cosine_steps: () float32, the length of the cosine, for the schedule.
    """

    def __init__(self, seconds: float, steps_per_epoch: int, before: int, steps: int) -> None:
        self.cosine_steps = keras.Variable(float(steps), trainable=False, dtype="float32", name="cosine_steps")
        self._seconds = seconds
        self._steps_per_epoch = steps_per_epoch
        self._before = before

    def last_epoch(self, history: Sequence[Epoch], epochs: int) -> int:
        """The last epoch that fits: at most `epochs`, at least the finished ones. Sets the length of the cosine accordingly."""
        last = self._last(history, epochs)
        self.cosine_steps.assign(max(1.0, last * self._steps_per_epoch - self._before))
        return last

    def _last(self, history: Sequence[Epoch], epochs: int) -> int:
        if not history:
            return epochs
        # The first epoch is slower, because it compiles the step.
        slowest = max(epoch.seconds for epoch in history[1:] or history)
        left = self._seconds - sum(epoch.seconds for epoch in history)
        return len(history) + min(epochs - len(history), max(0, int(left / slowest)))
