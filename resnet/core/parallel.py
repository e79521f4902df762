"""A parallel `map` over many small items that keeps their order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in threads, which work at most a few items ahead of the consumer.

    Results come in the order of the items. An exception of `function` is raised where its result would have come.

    Threads are used instead of processes because decoding, resizing and hashing release the GIL, and nothing has to be pickled.
    """
    threads = len(os.sched_getaffinity(0))
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 3 * threads:  # so that no thread idles behind a slow item, with few results in memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
