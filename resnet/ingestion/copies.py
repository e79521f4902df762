"""Which images of a source are the same: equal size and equal pixels, whatever the files are called or how they are encoded."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LeftOut:
    """Why an image is left out.

    Attributes:
        other: row of an image with the same pixels: the one that is kept, or one of another label.
        conflict: whether the labels differ.
    """

    other: int
    conflict: bool


class Copies:
    """Remembers the images' pixels, 35 bytes for each image, and tells which are there more than once."""

    def __init__(self) -> None:
        self._hashes = bytearray()
        self._labels = array("H")
        self._given = array("b")

    def add(self, pixel_hash: str, label: int, *, given: bool) -> None:
        """Appends an image.

        Args:
            pixel_hash: 64 hexadecimal digits.
            label: of the image.
            given: whether its source says which split it is in.
        """
        self._hashes += bytes.fromhex(pixel_hash)
        self._labels.append(label)
        self._given.append(given)

    def left_out(self) -> dict[int, LeftOut]:
        """The rows to leave out.

        All images that are there under two labels. Of others the first is kept, and those whose split is given.
        """
        found: dict[int, LeftOut] = {}
        for rows in self._same():
            labels = {self._labels[row] for row in rows}
            if len(labels) > 1:
                found |= {row: LeftOut(self._of_another_label(row, rows), conflict=True) for row in rows}
                continue
            kept = next((row for row in rows if self._given[row]), rows[0])
            found |= {row: LeftOut(kept, conflict=False) for row in rows if row != kept and not self._given[row]}
        return found

    def _of_another_label(self, row: int, rows: list[int]) -> int:
        return next(other for other in rows if self._labels[other] != self._labels[row])

    def _same(self) -> Iterator[list[int]]:
        """Rows of equal pixels, in rising order, where there are two or more."""
        hashes = np.frombuffer(self._hashes, dtype="S32")
        order = np.argsort(hashes, kind="stable")
        equal = np.zeros(len(order) + 1, dtype=np.int8)  # whether a row, in this order, is equal to the one before it
        hashes = hashes[order]
        equal[1:-1] = hashes[1:] == hashes[:-1]
        starts, last = (np.flatnonzero(np.diff(equal) == step) for step in (1, -1))
        for start, end in zip(starts.tolist(), (last + 1).tolist(), strict=True):
            yield order[start:end].tolist()
