"""What every kind of source gives: its classes, and what becomes of each of its files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnet.images.outcomes import Outcome


@dataclass(frozen=True)
class Source:
    """A set of labelled images.

    Attributes:
        classes: the names of the classes, in the order of their labels; also of those without an image.
        files: starts a pass over all files, always in the same order; each is there once.
        notes: how the source was understood, where that may surprise: a sentence each.
    """

    classes: list[str]
    files: Callable[[], Iterator[Outcome]]
    notes: tuple[str, ...] = ()
