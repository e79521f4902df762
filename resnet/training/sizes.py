"""Progressive resizing: the size of the training images in each epoch.

Early epochs at smaller sizes cost less, and the network that they leave is nearly as good a start for the later ones (Howard,
"Training Imagenet in 3 hours for $25", 2018; Tan and Le, "EfficientNetV2", 2021, section 4). The weights are the same at each
size. The last size may be below the one of testing: a network sees larger objects in random crops than in whole images, and a
larger test image makes up for it (Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
"""

from collections.abc import Sequence


class SizeSchedule:
    """Sizes for equal shares of the epochs, by their order.

    The last epoch always has the last size. Where the epochs cannot be shared equally, the last sizes get one more. Each phase
    of a run with restarts has all sizes, so a longer run begins with the epochs of the shorter one.

    Args:
        sizes: height and width in pixels; at least one.
        ends: the last epochs of the phases, `train.restarts` and `train.epochs`; at least one, increasing.
    """

    def __init__(self, sizes: Sequence[int], ends: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.ends = tuple(ends)

    def at(self, epoch: int, last: int | None = None) -> int:
        """The size in an epoch, from 1.

        Args:
            epoch: from 1; one after the end of the run has the last size.
            last: the epoch at which the run ends, if a budget shortens it.
        """
        ends = self.ends if last is None else (*self.ends[:-1], last)
        start, end = 0, ends[-1]
        for number in ends:
            if epoch <= number:
                end = number
                break
            start = number
        if epoch > end:
            return self.sizes[-1]
        count = len(self.sizes)
        return self.sizes[max(0, count - 1 - (end - epoch) * count // (end - start))]
