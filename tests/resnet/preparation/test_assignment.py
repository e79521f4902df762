"""The assignment of components to intervals, and the moves that give each class a component in each of them."""

import numpy as np

from resnet.preparation.assignment import Assignment

HALVES = {0: (0.0, 0.5), 1: (0.5, 1.0)}


def assigned(labels: list[int], positions: list[float], classes: int = 2) -> Assignment:
    component = np.arange(len(labels), dtype=np.int32)
    return Assignment(np.array(labels, np.uint16), component, np.array(positions), classes=classes, parts=HALVES)


def test_a_component_is_in_the_interval_of_its_position() -> None:
    found = assigned([0, 0, 1, 1], [0.0, 0.5, 0.4999, 0.9])
    assert found.part.tolist() == [0, 1, 0, 1]
    assert found.count.tolist() == [[1, 1], [1, 1]]
    assert found.missing() == []


def test_the_nearest_component_is_moved_to_a_part_without_one() -> None:
    found = assigned([0, 0, 0, 1, 1], [0.1, 0.4, 0.2, 0.1, 0.9])
    assert found.missing() == [(0, 1)]
    found.fill()
    assert found.part.tolist() == [0, 1, 0, 0, 1]


def test_the_last_component_of_a_class_is_not_taken_away() -> None:
    found = assigned([0, 1, 1], [0.1, 0.2, 0.8])
    found.fill()
    assert found.part.tolist() == [0, 0, 1]
    assert found.missing() == [(0, 1)]
    assert found.components(0) == 1
