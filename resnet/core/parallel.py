"""Work on many small things at once, in the order in which they came."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in threads, a few items ahead of the reader.

    Threads and not processes: decoding, resizing and hashing run in C without Python's lock, and nothing has to be sent.
    """
    threads = len(os.sched_getaffinity(0))
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 3 * threads:  # enough that no thread waits for a slow neighbour; few are in memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
