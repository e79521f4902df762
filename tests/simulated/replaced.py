"""Puts the simulated machine in the place of the real one."""

import glob
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands import repair
from resnet.core import disk, files
from resnet.core.errors import UserError
from resnet.training import checkpoint_files, state
from resnet.training.state import Snapshot
from tasks.training import resume, runs, seen
from tasks.training.fingerprint import Facts
from tests.simulated import toy
from tests.simulated.machine import Folder, Lock, Thread
from tests.simulated.paths import on
from tests.simulated.world import KEPT_FINISHED, World


@contextmanager
def replaced() -> Iterator[None]:
    """In the block the program uses the machine of the latest `World`, by `resnet.core.disk` and by the paths it is given."""
    write = checkpoint_files.write_checkpoint

    def write_and_tell(folder: Path, snapshot: Snapshot) -> bool:
        written = write(folder, snapshot)
        if written:
            World.current.saved(folder.name, (snapshot.facts["epoch"], snapshot.facts["step"]))
        return written

    functions = (_sync, _free, _remove_tree, _lock, _is_locked, _alone, _process, _is_running, _now, _elapsed, _sleep)
    places: list[tuple[Any, dict[str, Any]]] = [
        (disk, {function.__name__.removeprefix("_"): function for function in functions}),
        (checkpoint_files, {"write_checkpoint": write_and_tell, "ThreadPoolExecutor": _Worker, "json": _Dumps}),
        # As the modules see it now: a planted bug may have replaced it.
        (resume, {"say": lambda line: None, "fingerprint": _remembered(vars(resume)["fingerprint"])}),
        (
            runs,
            {"FINISHED_KEPT": KEPT_FINISHED, "fingerprint": _remembered(vars(runs)["fingerprint"]), **_QUICK},
        ),
        (files, {"glob": _Glob}),
        (state, {"asdict": lambda epoch: dict(vars(epoch))}),  # `asdict` copies each number, which takes ten times as long
        (seen, {"live": lambda: on(World.current.machine, "/project/live")}),
        (repair, {"git_bytes": _git, "YAML": _Yaml}),
    ]
    with ExitStack() as stack:
        for place, names in places:
            stack.enter_context(mock.patch.multiple(place, **names))
        yield


def _remembered(write: Callable[..., str]) -> Callable[..., str]:
    """The same function of facts and options, which computes each result once: the facts are few."""
    known: dict[str, str] = {}

    def remembered(facts: Facts, **options: Any) -> str:
        key = f"{facts!r} {options!r}"
        if key not in known:
            known[key] = write(facts, **options)
        return known[key]

    return remembered


class _Json:
    """Stands in for the module, and reads and writes each text once: the facts are few, and nobody changes them."""

    dumps = staticmethod(_remembered(json.dumps))
    loads = staticmethod(lru_cache(1000)(json.loads))


class _Dumps:
    """Stands in for the module, and writes each text once. What it reads is changed afterwards."""

    dumps = _Json.dumps
    loads = staticmethod(json.loads)


class _Here:
    """Stands in for `platform`."""

    node = staticmethod(lambda: "here")


class _Shell:
    """Stands in for `shlex`."""

    join = staticmethod(lambda words: "train")


class _Glob:
    """Stands in for the module."""

    escape = staticmethod(lru_cache(1000)(glob.escape))


def _git(root: object, command: str, *_: str) -> bytes:
    """Git has the first lock file and no other object."""
    if command == "cat-file":
        raise UserError("there is no such object")
    return toy.dvc_lock(0) if command == "show" else b"0"


class _Yaml:
    """Stands in for `YAML`, and reads each text once: the lock files are few."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def load(self, text: bytes) -> Any:
        found = _read_yaml(text, tuple(self._options.items()))
        if isinstance(found, Exception):
            raise found.with_traceback(None)  # else it keeps each world that it was raised in
        return found


@lru_cache(1000)
def _read_yaml(text: bytes, options: tuple[tuple[str, Any], ...]) -> Any:
    try:
        return YAML(**dict(options)).load(text)
    except (YAMLError, ValueError) as error:
        return error


_QUICK = {"json": _Json, "platform": _Here, "shlex": _Shell}


def _sync(path: Path) -> None:
    machine = World.current.machine
    machine.call()
    node = machine.find(str(path))
    if node is None:
        raise FileNotFoundError(2, "No such file or directory", str(path))
    machine.sync(node)


def _free(path: Path) -> int:
    room = World.current.machine.room
    return 10**9 if room is None or room % 2 else room  # a quota does not show in the free space


def _remove_tree(path: Path, *, ignore_errors: bool = False) -> None:
    try:
        children = list(path.iterdir())
        if World.current.machine.choose(2):  # in whatever order the file system lists them
            children.reverse()
        for child in children:
            if child.is_dir():
                _remove_tree(child)
            else:
                child.unlink()
        path.rmdir()
    except OSError:
        if not ignore_errors:
            raise


def _lock(path: Path, *, timeout: float, poll_interval: float, mode: int = 0) -> Lock:
    return Lock(World.current.machine, str(path), round(timeout / poll_interval))


def _is_locked(path: Path) -> bool:
    machine = World.current.machine
    machine.call()
    node = machine.find(str(path))
    if node is None or type(node) is Folder:
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return node.holder is not None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    machine = World.current.machine
    machine.call()
    folder, thread = machine.find(str(path)) if str(path) else machine.root, machine.running
    assert type(folder) is Folder
    if thread is None:
        yield
        return
    thread.wait(lambda: folder.holder is None)
    folder.holder = thread.process
    thread.process.locked.append(folder)
    try:
        yield
    finally:
        if not thread.process.dead:  # its end has released it
            folder.holder = None
            thread.process.locked.remove(folder)


def _process() -> int:
    running = World.current.machine.running
    return running.process.number if running else 0


def _is_running(number: int) -> bool:
    return any(process.number == number for process in World.current.machine.processes)


def _now() -> float:
    return World.current.machine.clock


def _elapsed() -> float:
    return World.current.machine.steps / 1000


def _sleep(seconds: float) -> None:
    World.current.machine.call()


class _Worker:
    """Stands in for `ThreadPoolExecutor`, with one thread for each task."""

    def __init__(self, max_workers: int) -> None:
        self._tasks: list[_Task] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "_Task":
        running = World.current.machine.running
        assert running is not None
        self._tasks.append(_Task(running, running.process.spawn(lambda: function(*arguments))))
        return self._tasks[-1]

    def shutdown(self) -> None:
        for task in self._tasks:
            task.wait()


class _Task:
    def __init__(self, owner: Thread, thread: Thread) -> None:
        self._owner = owner
        self._thread = thread

    def done(self) -> bool:
        return self._thread.ended

    def wait(self) -> None:
        self._owner.wait(self.done)

    def result(self) -> Any:
        self.wait()
        if self._thread.error is not None:
            raise self._thread.error
        return self._thread.result
