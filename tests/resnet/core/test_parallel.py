"""The parallel `map`: its order, how far it runs ahead, and exceptions."""

import os
import threading
from collections.abc import Iterator

import pytest

from resnet.core.parallel import in_order


def test_results_have_the_order_of_the_items_whatever_finishes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    second_is_done = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(30)
        elif number == 1:
            second_is_done.set()
        return number**2

    assert list(in_order(square, range(20))) == [number**2 for number in range(20)]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_it_takes_three_items_a_thread_and_one_more_ahead(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(threads)))
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(str, items())
    assert taken == []
    assert next(results) == "0"
    assert len(taken) == 3 * threads + 1
    assert next(results) == "1"
    assert len(taken) == 3 * threads + 2
    results.close()  # type: ignore[attr-defined]  # a generator


def test_an_exception_comes_in_the_place_of_its_result() -> None:
    results = in_order(lambda number: 6 // number, [1, 2, 0, 3])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_items_give_no_results_and_no_threads_remain() -> None:
    before = threading.active_count()
    assert list(in_order(str, [])) == []
    assert list(in_order(str, range(50))) == [str(number) for number in range(50)]
    assert threading.active_count() == before
