"""Which images of a batch each host has, and a host alone. Two real hosts are in `tests/test_hosts.py`."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.training.hosts import Hosts, places


def of(index: int, hosts: int) -> Hosts:
    return Hosts([f"host:{port}" for port in range(1, hosts + 1)], index)


def test_each_host_has_one_part_of_each_batch() -> None:
    assert places(2, 6, of(0, 2), neighbour=False).tolist() == [0, 1, 2, 6, 7, 8]
    assert places(2, 6, of(1, 2), neighbour=False).tolist() == [3, 4, 5, 9, 10, 11]


def test_the_neighbour_of_the_last_image_is_the_first_of_its_batch() -> None:
    assert places(2, 4, of(0, 2), neighbour=True).tolist() == [0, 1, 2, 4, 5, 6]
    assert places(2, 4, of(1, 2), neighbour=True).tolist() == [2, 3, 0, 6, 7, 4]


@pytest.mark.parametrize("hosts", [1, 3, 4])
def test_each_image_is_on_one_host(hosts: int) -> None:
    found = np.concatenate([places(5, 12, of(index, hosts), neighbour=False) for index in range(hosts)])
    assert sorted(found) == list(range(60))


def test_one_host_exchanges_nothing() -> None:
    alone = Hosts()
    alone.meet(0.0)
    one = tf.ones((2, 3))
    assert alone.gather([one])[0][0] is one
    assert (alone.numbers(7), alone.texts(b"a"), alone.from_chief(b"b")) == ([7], [b"a"], b"b")
