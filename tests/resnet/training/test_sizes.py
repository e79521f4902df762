"""The sizes of the training images over the epochs."""

import pytest

from resnet.training.sizes import SizeSchedule


@pytest.mark.parametrize(
    ("sizes", "epochs", "expected"),
    [
        ([64, 96, 128], 6, [64, 64, 96, 96, 128, 128]),
        ([64, 64, 128], 6, [64, 64, 64, 64, 128, 128]),
        ([64, 96, 128], 3, [64, 96, 128]),
        ([64, 128], 5, [64, 64, 128, 128, 128]),  # the last size gets the epoch that is left over
        ([64, 96, 128], 8, [64, 64, 96, 96, 96, 128, 128, 128]),
        ([128, 96], 4, [128, 128, 96, 96]),
        ([96], 3, [96, 96, 96]),
    ],
)
def test_each_size_has_its_share_of_the_epochs(sizes: list[int], epochs: int, expected: list[int]) -> None:
    assert [SizeSchedule(sizes, (epochs,)).at(epoch) for epoch in range(1, epochs + 1)] == expected


def test_a_longer_run_begins_with_the_sizes_of_the_shorter_one() -> None:
    longer = [SizeSchedule([32, 64], (4, 6)).at(epoch) for epoch in range(1, 7)]
    assert longer == [32, 32, 64, 64, 32, 64]


def test_a_run_that_ends_sooner_ends_with_the_last_size() -> None:
    schedule = SizeSchedule([64, 96, 128], (90,))
    assert [schedule.at(epoch, 3) for epoch in (1, 2, 3)] == [64, 96, 128]
    assert [schedule.at(epoch, 2) for epoch in (1, 2)] == [96, 128]
    assert schedule.at(1, 1) == 128


def test_after_the_end_the_size_is_the_last_one() -> None:
    assert SizeSchedule([32, 64], (4,)).at(5) == 64
    assert SizeSchedule([32, 64], (40,)).at(8, last=7) == 64
