"""Exact duplicates within a source: images with the same size and pixels, whatever their names and encodings."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Duplicate:
    """Why an image is left out.

    Attributes:
        other: the row of an image with the same pixels: the one that is kept, or one with another label.
        conflict: whether the labels differ.
    """

    other: int
    conflict: bool


class DuplicateFinder:
    """Collects the pixel hashes of images, at 37 bytes an image, and finds those that occur more than once."""

    def __init__(self) -> None:
        self._hashes = bytearray()
        self._labels = array("I")  # there may be more than 65,536 sets before small classes are left out
        self._has_split = array("b")

    def add(self, pixel_hash: str, label: int, *, has_split: bool) -> None:
        """Appends an image.

        Args:
            pixel_hash: 64 hexadecimal digits.
            label: the number of its class or set of classes.
            has_split: whether the source assigns the image to a split.
        """
        self._hashes += bytes.fromhex(pixel_hash)
        self._labels.append(label)
        self._has_split.append(has_split)

    def find(self) -> dict[int, Duplicate]:
        """The images to leave out, by row.

        If images with the same pixels have different labels, all of them are left out. Otherwise images that the source assigns
        to a split are kept; if there are none, the first image is kept.
        """
        found: dict[int, Duplicate] = {}
        for rows in self._equal_rows():
            labels = {self._labels[row] for row in rows}
            if len(labels) > 1:
                found |= {row: Duplicate(self._with_another_label(row, rows), conflict=True) for row in rows}
                continue
            kept = next((row for row in rows if self._has_split[row]), rows[0])
            found |= {row: Duplicate(kept, conflict=False) for row in rows if row != kept and not self._has_split[row]}
        return found

    def _with_another_label(self, row: int, rows: list[int]) -> int:
        return next(other for other in rows if self._labels[other] != self._labels[row])

    def _equal_rows(self) -> Iterator[list[int]]:
        """The rows of each set of two or more images with the same pixels, in ascending order."""
        hashes = np.frombuffer(self._hashes, dtype="S32")
        order = np.argsort(hashes, kind="stable")
        equal = np.zeros(len(order) + 1, dtype=np.int8)  # whether a hash equals the one before it in sorted order
        hashes = hashes[order]
        equal[1:-1] = hashes[1:] == hashes[:-1]
        starts, last = (np.flatnonzero(np.diff(equal) == step) for step in (1, -1))
        for start, end in zip(starts.tolist(), (last + 1).tolist(), strict=True):
            yield order[start:end].tolist()
