"""The progress of training on a terminal or in a log."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from resnet.training.state import Epoch, Progress


def say(line: str) -> None:
    """Prints a line immediately, above a progress bar."""
    with suppress(OSError):  # a closed terminal or pipe must not end training
        tqdm.write(line)
        sys.stdout.flush()


class Display:
    """Shows a progress bar over the steps of an epoch on a terminal, and prints a line after each epoch anywhere.

    Args:
        epochs: of the run.
        sized: whether the lines name the size of the images, which then changes.
    """

    def __init__(self, epochs: int, *, sized: bool = False) -> None:
        self._epochs = epochs
        self._sized = sized
        self._bar: tqdm[Any] = tqdm(unit="step", leave=False, disable=None, dynamic_ncols=True)

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, progress: "Progress") -> None:
        """Shows the state of the epoch."""
        with suppress(OSError):  # as above
            self._show(progress)

    def _show(self, progress: "Progress") -> None:
        if self._bar.total is None or progress.step == 1:
            self._bar.reset(total=progress.steps)
            self._bar.set_description(f"epoch {progress.epoch}/{self._epochs}")
            self._bar.update(progress.step - 1)  # of a run that was resumed in the middle of an epoch
        self._bar.set_postfix_str(
            f"loss {progress.loss:.4f}, accuracy {progress.accuracy:.4f}, {_rate(progress.images_per_second)}",
            refresh=False,
        )
        self._bar.update()

    def epoch(self, epoch: "Epoch") -> None:
        """Prints the results of the epoch."""
        size = f"{epoch.size} pixels, " if self._sized else ""
        say(
            f"epoch {epoch.epoch}/{self._epochs}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}, "
            f"val_loss {epoch.val_loss:.4f}, val_accuracy {epoch.val_accuracy:.4f}, "
            f"{size}{_rate(epoch.images_per_second)}, {epoch.seconds:.1f} s"
        )


def _rate(images_per_second: float) -> str:
    """The first step of a process includes the compilation: with large images its rate would be shown as 0."""
    return f"{images_per_second:{'.0f' if images_per_second >= 10 else '.2g'}} images/s"
