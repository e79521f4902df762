"""A limit of time: how many epochs fit into it, and a learning rate that comes to zero at the end of the last of them."""

from collections.abc import Sequence

import keras

from resnet.training.state import Epoch


class Budget:
    """Shortens a run to whole epochs that fit into some seconds of training and validation.

    The learning rate is a function of the share of the run that is over, not of the step (Li et al., "Budgeted Training:
    Rethinking Deep Neural Network Training Under Resource Constraints", 2019). What comes out depends on the machine's speed,
    so there is no promise of equal bytes with a budget.

    Args:
        seconds: that epochs may take in all, those before an interruption included.
        steps_per_epoch: updates.
        before: steps before the cosine begins: with a frozen body, and of warm-up.
        steps: of the cosine if the budget does not shorten it.

    Attributes:
        cosine_steps: () float32, for the schedule.
    """

    def __init__(self, seconds: float, steps_per_epoch: int, before: int, steps: int) -> None:
        self.cosine_steps = keras.Variable(float(steps), trainable=False, dtype="float32", name="cosine_steps")
        self._seconds = seconds
        self._steps_per_epoch = steps_per_epoch
        self._before = before

    def last_epoch(self, history: Sequence[Epoch], epochs: int) -> int:
        """The last epoch that fits, at most `epochs` and at least the one that is over, and sets the schedule by it."""
        last = self._last(history, epochs)
        self.cosine_steps.assign(max(1.0, last * self._steps_per_epoch - self._before))
        return last

    def _last(self, history: Sequence[Epoch], epochs: int) -> int:
        if not history:
            return epochs
        # The first epoch compiles the step.
        slowest = max(epoch.seconds for epoch in history[1:] or history)
        left = self._seconds - sum(epoch.seconds for epoch in history)
        return len(history) + min(epochs - len(history), max(0, int(left / slowest)))
