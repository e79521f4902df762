"""Assigns components of images to intervals of their positions, so that each class is in each of them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt


class Assignment:
    """The part of each component, and the number of components of each class in each part.

    Args:
        labels: (images,) integers, the classes; an image with several is there once for each of them.
        component: (images,) int32, the component of each image.
        position: (components,) float64 in [0, 1).
        classes: the number of classes.
        parts: the interval of positions of each part, low <= position < high, by the number of the part. Components outside all
            intervals are in the first part.

    Attributes:
        part: (components,) int8.
        count: (classes, highest part + 1) int64, the components of each class in each part.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.uint16] | npt.NDArray[np.int64],
        component: npt.NDArray[np.int32],
        position: npt.NDArray[np.float64],
        *,
        classes: int,
        parts: Mapping[int, tuple[float, float]],
    ) -> None:
        self._position, self._parts, self._wanted = position, parts, list(parts)
        self.part = np.full(len(position), self._wanted[0], dtype=np.int8)
        for part, (low, high) in parts.items():
            self.part[(low <= position) & (position < high)] = part
        pairs = np.unique(labels.astype(np.int64) * len(position) + component)
        label, self._component = np.divmod(pairs, len(position))  # each pair of a class and one of its components, once
        self._of_class = np.searchsorted(label, np.arange(classes + 1))
        by_component = np.argsort(self._component, kind="stable")
        self._label = label[by_component]
        self._of_component = np.searchsorted(self._component[by_component], np.arange(len(position) + 1))
        self.count = np.zeros((classes, max(parts) + 1), dtype=np.int64)
        np.add.at(self.count, (label, self.part[self._component]), 1)

    def components(self, label: int) -> int:
        """The number of components of a class."""
        return int(self.count[label].sum())

    def missing(self) -> list[tuple[int, int]]:
        """Pairs of a class and a part in which it has no component."""
        return [(label, self._wanted[place]) for label, place in np.argwhere(self.count[:, self._wanted] == 0).tolist()]

    def fill(self) -> None:
        """Moves components to parts in which a class has none, until no move is possible; one move can enable another."""
        while sum(self._move_one(label, part) for label, part in self.missing()):
            pass

    def _move_one(self, label: int, part: int) -> bool:
        """Moves the nearest component of a class that can be moved to a part; returns whether one was moved."""
        if self.count[label, part]:  # a component that was moved for another class
            return False
        candidates = self._component[self._of_class[label] : self._of_class[label + 1]]
        low, high = self._parts[part]
        distance = np.maximum(low - self._position[candidates], self._position[candidates] - high).clip(0)
        for nearest in candidates[np.argsort(distance, kind="stable")]:
            labels = self._label[self._of_component[nearest] : self._of_component[nearest + 1]]
            if (self.count[labels, self.part[nearest]] > 1).all():
                self.count[labels, self.part[nearest]] -= 1
                self.count[labels, part] += 1
                self.part[nearest] = part
                return True
        return False
