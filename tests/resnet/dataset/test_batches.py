"""The order of images in an epoch, and batches."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches, epoch_order, read_ahead


def test_the_order_of_an_epoch_is_a_permutation_of_its_own() -> None:
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (1, 2)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    for one in range(4):
        for two in range(one):
            assert (orders[one] == orders[two]).mean() < 0.02
    np.testing.assert_array_equal(epoch_order(1000, 0, 2), orders[1])


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batches_cover_the_rows_in_their_order(write_split: Callable[..., Path], drop: bool, sizes: list[int]) -> None:
    split = Split(write_split("split", list(range(10)), shard_bytes=3 * 32 * 32 * 3), classes=10)
    order = epoch_order(10, 0, 1)
    found = list(batches(split, order, 4, drop_remainder=drop))
    assert [len(images) for images, _, _ in found] == sizes
    expected = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)  # as in `write_split`
    rows = np.concatenate([rows for _, _, rows in found])
    np.testing.assert_array_equal(rows, order[: sum(sizes)])
    np.testing.assert_array_equal(np.concatenate([labels for _, labels, _ in found]), rows)
    np.testing.assert_array_equal(np.concatenate([images for images, _, _ in found]), expected[rows])


def test_an_error_of_the_reading_thread_reaches_the_consumer(write_split: Callable[..., Path]) -> None:
    split = Split(write_split("split", [0] * 6), classes=1)
    found = batches(split, np.array([0, 1, 2, 3, 4, 6]), 2)
    assert [next(found)[2].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(IndexError):
        next(found)


def test_a_thread_reads_the_next_piece_while_one_is_in_use() -> None:
    threads: list[int] = []
    read_next = threading.Event()

    def read(piece: int) -> int:
        threads.append(threading.get_ident())
        if piece == 2:
            read_next.set()
        return 10 * piece

    found = read_ahead(read, [1, 2, 3])
    assert next(found) == 10
    assert read_next.wait(60)  # nobody has asked for the second one yet
    assert list(found) == [20, 30]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    assert list(read_ahead(read, [])) == []


def test_no_rows_give_no_batches(write_split: Callable[..., Path]) -> None:
    split = Split(write_split("split", [0]), classes=1)
    assert list(batches(split, np.zeros(0, np.int64), 2)) == []
