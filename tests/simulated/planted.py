"""Bugs to plant in the program, each of which the schedules must find: they test the tests.

The last ones are bugs that the schedules found in the program.

python -m tests.simulated.planted                          # plays schedules with each bug until one fails
python -m tests.simulated.planted "the hash" --seed 17     # plays the schedule that found a bug again
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands import repair
from resnet.core import disk, files
from resnet.core.errors import UserError
from resnet.training import checkpoint_files
from resnet.training.checkpoint_files import Checkpoint, list_checkpoints, read_newest, write_checkpoint
from resnet.training.state import Snapshot
from tasks.training import resume, runs
from tasks.training.fingerprint import Facts, fingerprint
from tasks.training.runs import begun, claimed, prune
from tests.simulated import world
from tests.simulated.replaced import replaced
from tests.simulated.schedules import play
from tests.simulated.world import BrokenError

COMMAND = "python -m tests.simulated.planted"

_LIMIT = 60.0  # seconds of processor time to find a bug in


class _Disk:
    """The module `disk` as one module sees it, with other functions."""

    def __init__(self, **others: Callable[..., Any]) -> None:
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(disk, name)


def _sync_files_only(path: Path) -> None:
    if not path.is_dir():
        disk.sync(path)


@contextmanager
def _write_in_place(path: Path, least: int = 0) -> Iterator[Path]:
    files._prepare(path, path.with_name(".partial"), least)
    yield path
    files._sync(path)


@contextmanager
def _release_early(folder: Path) -> Iterator[None]:
    with claimed(folder):
        pass
    yield


def _read_unchecked(path: Path) -> Snapshot:
    try:
        with path.open("rb") as file:
            return checkpoint_files.decoded(file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(str(error)) from error


def _prune_first(folder: Path, snapshot: Snapshot) -> bool:
    for old in list_checkpoints(folder):
        old.path.unlink()
    return write_checkpoint(folder, snapshot)


def _prune_all(folder: Path, snapshot: Snapshot) -> bool:
    written = write_checkpoint(folder, snapshot)
    for old in list_checkpoints(folder)[1:]:
        old.path.unlink()
    return written


def _ignore_errors(folder: Path, snapshot: Snapshot) -> bool:
    with suppress(OSError, UserError):
        write_checkpoint(folder, snapshot)
    return True


def _oldest_first(folder: Path) -> list[Checkpoint]:
    return list_checkpoints(folder)[::-1]


def _without_number(facts: Facts) -> str:
    return fingerprint({name: value for name, value in facts.items() if name != "number"})


def _keep_old_facts(folder: Path, facts: Facts) -> Any:
    return begun(folder, facts)


def _swap_without_sync(new: Path, path: Path) -> None:
    old = files._old(path)
    if path.is_dir():
        files.remove(old)
        path.replace(old)
    new.replace(path)
    files.remove(old)


def _is_yaml(root: Path) -> bool:
    try:
        lock = YAML(typ="safe", pure=True).load((root / "dvc.lock").read_bytes())
    except (YAMLError, ValueError):
        return False
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return isinstance(stages, dict) and all(isinstance(stage, dict) and "cmd" in stage for stage in stages.values())


def _remove_everywhere(folder: Path, say: Callable[[str], None], *, remove: bool = True) -> Snapshot | None:
    return read_newest(folder, say, remove=True)


def _read_holder(path: Path) -> str:
    return path.read_bytes().decode()


def _remove_lock_too(folder: Path) -> None:
    disk.remove_tree(folder, ignore_errors=True)


Patch = tuple[Any, str, Any]
PLANTED: dict[str, list[Patch]] = {
    "a file is not synced before it is renamed": [(files, "_sync", lambda path: None)],
    "a folder is not synced after a rename": [(files, "disk", _Disk(sync=_sync_files_only))],
    "an output is written in place": [(world, "replacing", _write_in_place)],
    "the lock of a run is released early": [(runs, "claimed", _release_early)],
    "the hash of a checkpoint is not checked": [(checkpoint_files, "read_checkpoint", _read_unchecked)],
    "old checkpoints go before the new one is durable": [(checkpoint_files, "write_checkpoint", _prune_first)],
    "only one checkpoint is kept": [(checkpoint_files, "write_checkpoint", _prune_all)],
    "a checkpoint that failed counts as written": [(checkpoint_files, "write_checkpoint", _ignore_errors)],
    "the oldest checkpoint is read first": [(checkpoint_files, "list_checkpoints", _oldest_first)],
    "the fingerprint misses a parameter": [(runs, "fingerprint", _without_number), (resume, "fingerprint", _without_number)],
    "the lock goes before the run": [(runs, "_remove_content", _remove_lock_too)],
    "the folder of a run is not synced": [(runs, "disk", _Disk(sync=lambda path: None))],
    "one name for the partial files of all": [(files, "disk", _Disk(process=lambda: 0, is_running=lambda number: False))],
    "a folder is removed before its successor is durable": [(files, "_swap", _swap_without_sync)],
    "a lock file of DVC that was cut short is believed": [(repair, "is_whole", _is_yaml)],
    "damaged checkpoints of other runs are removed": [(checkpoint_files, "read_newest", _remove_everywhere)],
    "the holder of a lock is read after it is gone": [(runs, "_read_holder", _read_holder)],
    "a run that has just finished may go": [(runs, "prune", lambda folder, ours=None: prune(folder))],
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The program has a bug in the block, and uses the simulated machine."""
    with ExitStack() as stack:
        for module, attribute, other in PLANTED[name]:
            stack.enter_context(mock.patch.object(module, attribute, other))
        stack.enter_context(replaced())
        yield


def find(name: str, seconds: float) -> int | None:
    """The first seed whose schedule finds a bug, within some seconds of processor time."""
    began = time.process_time()
    with planted(name):
        for seed in count():
            if time.process_time() - began > seconds:
                return None
            try:
                play(seed)
            except BrokenError:
                return seed
    raise AssertionError


def main(arguments: list[str] | None = None) -> int:
    """Finds each bug, or shows how a seed finds one."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="a part of the name of a bug (default: all)")
    parser.add_argument("--seed", type=int, help="of the schedule to play again")
    given = parser.parse_args(arguments)
    names = [name for name in PLANTED if given.name in name]
    if not names:
        parser.error(f"no bug has {given.name!r} in its name")
    if given.seed is not None:
        with planted(names[0]):
            print("\n".join(play(given.seed)))
        return 0
    missed = 0
    for name in names:
        began = time.process_time()
        seed = find(name, _LIMIT)
        missed += seed is None
        shown = "not found" if seed is None else f'{COMMAND} "{name}" --seed {seed}'
        print(f"{time.process_time() - began:6.1f} s  {shown}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
