"""A time budget: how many epochs fit into it, and a learning rate that reaches zero at the end of the last one."""

from collections.abc import Sequence

import keras

from resnet.training.sizes import SizeSchedule
from resnet.training.state import Epoch


class Budget:
    """Shortens a run to the whole epochs of training and validation that fit into a number of seconds.

    The learning rate is a function of the completed share of the run, not of the step (Li et al., "Budgeted Training:
    Rethinking Deep Neural Network Training Under Resource Constraints", 2019). The result depends on the speed of the machine,
    so a run with a budget is not byte-reproducible.

    With a `SizeSchedule` the sizes follow the share of the run too. The time of an epoch at a size that no epoch had yet is
    assumed to grow with the number of pixels from the size before.

    Args:
        seconds: limit for all epochs together, including those before an interruption.
        steps_per_epoch: updates in an epoch.
        before: steps before the cosine starts: the frozen steps and the warm-up; for one cycle only the frozen steps.
        steps: length of the cosine, or of the cycle, if the budget does not shorten it.
        sizes: of the training images; by default they do not change.

    Attributes:
        cosine_steps: () float32, the length of the cosine, or of the cycle, for the schedule.
    """

    def __init__(
        self, seconds: float, steps_per_epoch: int, before: int, steps: int, sizes: SizeSchedule | None = None
    ) -> None:
        self.cosine_steps = keras.Variable(float(steps), trainable=False, dtype="float32", name="cosine_steps")
        self._seconds = seconds
        self._steps_per_epoch = steps_per_epoch
        self._before = before
        self._sizes = sizes

    def last_epoch(self, history: Sequence[Epoch], epochs: int) -> int:
        """The last epoch that fits: at most `epochs`, at least the finished ones. Sets the length of the cosine accordingly."""
        last = self._last(history, epochs)
        self.cosine_steps.assign(max(1.0, last * self._steps_per_epoch - self._before))
        return last

    def _last(self, history: Sequence[Epoch], epochs: int) -> int:
        if not history:
            return epochs
        left, done = self._seconds - sum(epoch.seconds for epoch in history), len(history)
        if self._sizes is None:
            return done + min(epochs - done, max(0, int(left / _slowest(history))))
        times = _times(history, self._sizes.sizes)
        last = done + min(epochs - done, max(0, int(left / min(times.values()))))
        while last > done and sum(times[self._sizes.at(epoch, last)] for epoch in range(done + 1, last + 1)) > left:
            last -= 1
        return last


def _slowest(history: Sequence[Epoch]) -> float:
    """Seconds of the slowest epoch. The first one is slower, because it compiles the step, and counts only if it is alone."""
    return max(epoch.seconds for epoch in history[1:] or history)


def _times(history: Sequence[Epoch], sizes: Sequence[int]) -> dict[int, float]:
    """Seconds of an epoch, by the size of its images."""
    known = {size: [epoch for epoch in history if epoch.size == size] for size in sizes}
    seen = history[-1].size
    base = _slowest([epoch for epoch in history if epoch.size == seen])
    return {size: _slowest(epochs) if epochs else base * (size / seen) ** 2 for size, epochs in known.items()}
