"""Locks between runs on one machine: runs with the same work wait for each other, and each run gets a GPU of its own.

The locks are file locks, which the kernel releases when the process that holds them ends, even by SIGKILL, and which need no
server. Prefect's own concurrency limits use leases. A lease outlives a killed run by minutes, or for ever if it belonged to
another run's temporary server, and it does not say which GPU is free.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows.ending import RunEndedError, ending
from resnet.core import disk
from resnet.core.errors import UserError
from resnet.network.cuda import for_cuda

SLOTS_VARIABLE = "TRAIN_RESNET_SLOTS"
_POLL_SECONDS = 0.5


@contextmanager
def held(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock; calls `on_wait` before waiting for another process to release it.

    Raises:
        RunEndedError: the run is being stopped. Only the main thread gets the signal; in the others the wait must look for it.
    """
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        # It polls. A thread that blocks in the kernel could not be stopped.
        try:
            lock.acquire(poll_interval=_POLL_SECONDS, cancel_check=ending.is_set)
        except Timeout as error:
            raise RunEndedError("the run is being ended") from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether any process holds a lock."""
    try:
        with _lock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True


@contextmanager
def slot(on_wait: Callable[[], None], devices: int = 1) -> Iterator[dict[str, str]]:
    """Holds a training slot of this machine, or one on each of several GPUs; yields the environment variables that select them.

    There is one slot for each GPU, or a single one without a GPU. The variable `TRAIN_RESNET_SLOTS` sets another number; more
    slots than GPUs share the GPUs.

    Args:
        on_wait: called before the first wait.
        devices: how many GPUs are wanted. If there are fewer, all are held, and the train stage reports the error.

    Raises:
        UserError: the variable is not a whole number of at least 1.
        RunEndedError: the run is being stopped, see `held`.
    """
    gpus = find_gpus()
    slots = _count(gpus)
    wanted = min(devices, slots, len(gpus)) if gpus else 1
    waiting = False
    while True:
        with ExitStack() as stack:
            held_gpus: list[str] = []
            for number in range(slots):
                name = gpus[number % len(gpus)] if gpus else ""
                if len(held_gpus) == wanted or name in held_gpus:
                    continue
                try:
                    stack.enter_context(_lock(_folder() / f"slot-{number}.lock").acquire(blocking=False))
                except Timeout:
                    continue
                held_gpus.append(name)
            if len(held_gpus) == wanted:
                yield {"CUDA_VISIBLE_DEVICES": ",".join(held_gpus)} if gpus else {}
                return
        # Everything is released before waiting: otherwise two runs with one GPU each could wait for each other's.
        if not waiting:
            on_wait()
            waiting = True
        if ending.wait(_POLL_SECONDS):
            raise RunEndedError("the run is being ended")


def find_gpus() -> list[str]:
    """The GPUs that may be used, or slices of them: those in `CUDA_VISIBLE_DEVICES`, otherwise all that `nvidia-smi` lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return for_cuda()


def slot_count() -> int:
    """The number of runs that may train at the same time on this machine; see `slot`."""
    return _count(find_gpus())


def _count(gpus: list[str]) -> int:
    given = os.environ.get(SLOTS_VARIABLE)
    if given is None:
        return max(1, len(gpus))
    if not re.fullmatch("0*[1-9][0-9]{0,8}", given):  # int() refuses thousands of digits
        raise UserError(
            f"{SLOTS_VARIABLE} must be a whole number of at least 1, but it is {given[:40]!r}: correct or unset it."
        )
    return int(given)


def _folder() -> Path:
    """A folder of this machine and this user; a home folder may be shared between machines."""
    return Path(tempfile.gettempdir()) / f"train-resnet-{os.getuid()}"


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return disk.lock(path, mode=0o600)
