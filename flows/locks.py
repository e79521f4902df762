"""Who waits for whom on one machine: runs that work on the same thing, and runs that want one of its GPUs.

Both are file locks. The kernel gives them back when their holder dies, however it dies, and they need no server: Prefect's
own limits count on leases, which outlive a killed run by minutes, or for good when the server that knew of them was the
temporary one of another run. And a count does not say which GPU is free.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from resnet.core.errors import UserError

SLOTS_VARIABLE = "TRAIN_RESNET_SLOTS"
_POLL_SECONDS = 0.5


@contextmanager
def held(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock; calls `on_wait` first if another run holds it."""
    descriptor = _open(path)
    try:
        if not _try(descriptor):
            on_wait()
            while not _try(descriptor):  # not in the kernel, where a thread could not be told to stop
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds a lock."""
    descriptor = _open(path)
    try:
        return not _try(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def slot(on_wait: Callable[[], None], devices: int = 1) -> Iterator[dict[str, str]]:
    """Holds one of this machine's slots for training, or one on each of several GPUs; yields the environment that goes with it.

    There is a slot for each GPU, or one without a GPU. Another number is a matter of the variable `TRAIN_RESNET_SLOTS`; slots
    in excess of the GPUs share them.

    Args:
        on_wait: called before the first wait.
        devices: how many GPUs are wanted. Where there are fewer, all are held, and the stage says what is wrong.

    Raises:
        UserError: the variable is no whole number of at least 1.
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
                descriptor = _open(_folder() / f"slot-{number}.lock")
                stack.callback(os.close, descriptor)
                if _try(descriptor):
                    held_gpus.append(name)
            if len(held_gpus) == wanted:
                yield {"CUDA_VISIBLE_DEVICES": ",".join(held_gpus)} if gpus else {}
                return
        # What was held is free again, so that two runs that want two GPUs do not wait for each other with one each.
        if not waiting:
            on_wait()
            waiting = True
        time.sleep(_POLL_SECONDS)


def find_gpus() -> list[str]:
    """The GPUs that may be used: what `CUDA_VISIBLE_DEVICES` names, otherwise what `nvidia-smi` finds."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    listed = subprocess.run(
        [program, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=60
    )
    return listed.stdout.split() if listed.returncode == 0 else []


def slot_count() -> int:
    """How many runs may train at once on this machine, see `slot`."""
    return _count(find_gpus())


def _count(gpus: list[str]) -> int:
    given = os.environ.get(SLOTS_VARIABLE)
    if given is None:
        return max(1, len(gpus))
    if not (given.isdecimal() and int(given) >= 1):
        raise UserError(f"{SLOTS_VARIABLE} must be a whole number of at least 1, but it is {given!r}: set it or leave it out.")
    return int(given)


def _folder() -> Path:
    """Of this machine and this user; a home folder may be shared by machines."""
    return Path(tempfile.gettempdir()) / f"train-resnet-{os.getuid()}"


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
