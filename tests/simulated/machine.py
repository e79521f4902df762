"""A machine in memory: its disk with a page cache, its processes, its locks and its clock. Nothing in it depends on time.

**The disk** forgets at a power cut what was not synced, in each way that POSIX allows (Pillai et al., "All File Systems Are Not
Created Equal", OSDI 2014; https://sqlite.org/atomiccommit.html):

- A change to the entries of a folder is kept or lost, each for itself, until the folder is synced. A rename is one change.
- A file that was not synced has its old content, no content, a part of the new content, zeros, or a mixture of blocks.
- After a sync that failed, the pages count as clean, and the next sync reports nothing (https://lwn.net/Articles/752063/).

**A process** runs until it has made a number of system calls and stops there, before the next one. A killed process makes no
system call any more, whatever its `finally` says, and its locks are released.
"""

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

from filelock import Timeout
from greenlet import greenlet

_BLOCK = 64  # bytes that a disk writes at once, on the scale of these files
_FREE = 10**9

# Returns one of the numbers from 0 to below the argument: a random one, one of Hypothesis, or each in turn.
Choose = Callable[[int], int]


class Killed(BaseException):
    """Is raised in a process at its first system call after its end."""


class File:
    """An inode.

    Attributes:
        data: what processes read.
        durable: what is on the disk.
        lost: whether a sync failed since it was written.
        changed: the time of the last change, by the clock of the machine.
        linked: whether a folder has an entry for it.
        holder: the process that has locked it.
    """

    __slots__ = ("changed", "data", "durable", "holder", "linked", "lost")

    def __init__(self, now: float) -> None:
        self.data = self.durable = b""
        self.lost = False
        self.changed = now
        self.linked = True
        self.holder: Process | None = None


class Folder:
    """An inode.

    Attributes:
        entries: what processes see.
        durable: what is on the disk.
        changed: the time of the last change.
        holder: the process that has locked it.
    """

    __slots__ = ("changed", "durable", "entries", "holder")

    def __init__(self, now: float) -> None:
        self.entries: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}
        self.changed = now
        self.holder: Process | None = None


Change = tuple[tuple[Folder, str, File | Folder | None], ...]


class Machine:
    """The disk and the processes.

    Args:
        choose: decides what the outside world decides.

    Attributes:
        root: the top folder.
        folders: those that were looked up, by their paths.
        paths: objects that are kept for paths, see `tests.simulated.paths`.
        pending: changes of folders that are not synced, in their order.
        room: bytes that can be written before the disk is full; None if there is no limit.
        failing: the number of syncs that will fail.
        clock: seconds since 1970.
        running: the thread that runs; None outside of processes.
        watch: is called with each change that a process makes to a path, before it.
    """

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.clock = 1e9
        self.steps = 0
        self.root = Folder(self.clock)
        self.folders = {"": self.root}
        self.paths: dict[str, Any] = {}
        self.pending: list[Change] = []
        self.room: int | None = None
        self.failing = 0
        self.started = 0
        self.running: Thread | None = None
        self.processes: list[Process] = []
        self.watch: Callable[[Process, str], None] = lambda process, path: None

    def call(self, path: str = "") -> None:
        """A system call begins; with a path, one that changes it. The process may stop here, or end."""
        thread = self.running
        if thread is None:
            return
        if thread.process.dead:
            raise Killed
        thread.quota -= 1
        if thread.quota < 0:
            thread.pause()
            thread.quota -= 1
        self.steps += 1
        self.clock += 0.001
        if path:
            self.watch(thread.process, path)

    # The disk.

    def find(self, path: str) -> File | Folder | None:
        """The inode of a path."""
        if not path:
            return self.root
        above, _, name = path.rpartition("/")
        folder = self.folders.get(above)
        if folder is None:
            found = self.find(above)
            if type(found) is not Folder:
                return None
            folder = self.folders[above] = found
        return folder.entries.get(name)

    def folder_of(self, path: str) -> tuple[Folder, str]:
        """The inode of the folder of a path, and the name in it."""
        above, _, name = path.rpartition("/")
        known = self.folders.get(above)
        if known is not None:
            return known, name
        folder = self.find(above)
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if type(folder) is not Folder:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return folder, name

    def change(self, *entries: tuple[Folder, str, File | Folder | None]) -> None:
        """Sets entries of folders in one step."""
        for folder, name, node in entries:
            before = folder.entries.get(name)
            if type(before) is Folder:
                self.folders = {"": self.root}
            elif type(before) is File and before is not node:
                before.linked = False
            if node is None:
                folder.entries.pop(name, None)
            else:
                folder.entries[name] = node
                if type(node) is File:
                    node.linked = True
            folder.changed = self.clock
        self.pending.append(entries)

    def create(self, path: str) -> File:
        """Makes an empty file."""
        folder, name = self.folder_of(path)
        self.take(1)
        file = File(self.clock)
        self.change((folder, name, file))
        return file

    def take(self, size: int) -> int:
        """Takes room on the disk; returns how much of it there is.

        Raises:
            OSError: there is none.
        """
        if self.room is None:
            return size
        if self.room < 1 <= size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(size, self.room)
        self.room -= taken
        return taken

    def sync(self, node: File | Folder) -> None:
        """Makes the content of a file, or the entries of a folder, durable.

        Raises:
            OSError: syncs fail now.
        """
        if self.failing:
            self.failing -= 1
            if type(node) is File:
                node.lost = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if type(node) is File:
            if not node.lost:
                node.durable = node.data
            return
        waiting = []
        for change in self.pending:
            for folder, _, _ in change:
                if folder is node:
                    _apply(change)
                    break
            else:
                waiting.append(change)
        self.pending = waiting

    def settle(self) -> None:
        """Makes everything durable."""
        for change in self.pending:
            _apply(change)
        self.pending = []
        for _, node in self.walk():
            if type(node) is File:
                node.durable, node.lost = node.data, False

    def mount(self, root: Folder, pending: list[Change]) -> None:
        """Takes another disk."""
        self.root, self.pending, self.folders = root, pending, {"": root}

    def walk(self) -> Iterator[tuple[str, File | Folder]]:
        """All paths with their inodes."""
        waiting: list[tuple[str, Folder]] = [("", self.root)]
        while waiting:
            above, folder = waiting.pop()
            for name, node in folder.entries.items():
                yield f"{above}/{name}", node
                if type(node) is Folder:
                    waiting.append((f"{above}/{name}", node))

    def cut_power(self) -> None:
        """Ends all processes and forgets what is not on the disk."""
        for process in list(self.processes):
            process.kill()
        for change in self.pending:
            if self.choose(2):
                _apply(change)
        self.pending = []
        self.folders = {"": self.root}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            folder.entries = dict(folder.durable)
            for node in folder.entries.values():
                if type(node) is Folder:
                    waiting.append(node)
                elif type(node) is File:
                    if node.data != node.durable:
                        states = contents(node.durable, node.data)
                        node.durable = states[self.choose(len(states))]
                    node.data, node.lost, node.linked = node.durable, False, True

    # The processes.

    def start(self, main: Callable[[], Any]) -> "Process":
        """Starts a process, which stops before its first system call."""
        return Process(self, main)

    def advance(self, process: "Process", calls: int) -> None:
        """Lets a process run until it has made a number of system calls, has ended, or waits for another one."""
        while calls > 0 and not process.dead:
            ready = process.threads
            if len(ready) > 1 or ready[0].waits:
                ready = [thread for thread in ready if thread.waits is None or thread.waits()]
            if not ready:
                return
            thread = ready[self.choose(len(ready)) if len(ready) > 1 else 0]
            burst = calls if len(ready) == 1 else min(calls, 1 + self.choose(8))
            calls -= max(1, thread.run(burst))
        if process.dead:  # its main thread has ended, which ends the others
            process.unwind()


def _apply(change: Change) -> None:
    for folder, name, node in change:
        if node is None:
            folder.durable.pop(name, None)
        else:
            folder.durable[name] = node


def contents(old: bytes, new: bytes) -> list[bytes]:
    """The contents that a file may have after a power cut, if the new content was not synced."""
    half = len(new) // (2 * _BLOCK) * _BLOCK
    states = [old, new, b"", new[:half], bytes(len(new)), bytes(half) + new[half:]]
    # The worst places to cut a text: within its last word, and between lines.
    states += [new[:-3], new[: new.rfind(b"\n", 0, -1) + 1], new[: new.rfind(b"\n", 0, len(new) // 2) + 1]]
    return list(dict.fromkeys(states))


class Thread:
    """A thread of a process.

    Attributes:
        quota: system calls that it may make before it stops.
        waits: what it waits for; None if it can run.
    """

    __slots__ = ("_green", "_hub", "_machine", "error", "process", "quota", "result", "waits")

    def __init__(self, machine: Machine, process: "Process", main: Callable[[], Any]) -> None:
        self._machine = machine
        self._hub: greenlet | None = None
        self._green = greenlet(self._main)
        self.process = process
        self.quota = 0
        self.waits: Callable[[], bool] | None = None
        self.result = main
        self.error: BaseException | None = None

    def _main(self) -> None:
        try:
            self.result = self.result()
        except BaseException as error:
            self.error = error
        self.process.threads.remove(self)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self not in self.process.threads

    def run(self, quota: int) -> int:
        """Runs until it stops; returns the number of system calls that it made."""
        self.quota = quota
        self._switch()
        return quota - max(0, self.quota)

    def _switch(self) -> None:
        before, self._machine.running = self._machine.running, self
        self._hub = self._green.parent = greenlet.getcurrent()
        try:
            self._green.switch()
        finally:
            self._machine.running = before

    def pause(self) -> None:
        """Stops until it is run again."""
        assert self._hub is not None
        if not self.process.dead:  # else it unwinds, and waits no more
            self._hub.switch()
        if self.process.dead:
            raise Killed

    def wait(self, until: Callable[[], bool]) -> None:
        """Stops until a condition holds."""
        while not until():
            self.waits = until
            self.pause()
            self.waits = None

    def end(self) -> None:
        """Unwinds it, after the end of its process."""
        if self._green:  # it has begun
            self.waits = None
            self._switch()
        if self in self.process.threads:
            self.process.threads.remove(self)


class Process:
    """A process.

    Attributes:
        number: its ID.
        threads: those that have not ended; the first one is the main thread.
        dead: whether it has ended.
        signalled: whether SIGTERM was sent to it and is noted.
        error: what ended it, if not its own end.
    """

    def __init__(self, machine: Machine, main: Callable[[], Any]) -> None:
        self._machine = machine
        self.threads: list[Thread] = []
        self.dead = self.signalled = False
        self.error: BaseException | None = None
        self.locked: list[File | Folder] = []
        machine.started += 1
        self.number = machine.started
        self.threads.append(Thread(machine, self, lambda: self._run(main)))
        machine.processes.append(self)

    def _run(self, main: Callable[[], Any]) -> None:
        try:
            main()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        if not self.dead:
            self._end()

    def spawn(self, main: Callable[[], Any]) -> Thread:
        """Starts a thread."""
        thread = Thread(self._machine, self, main)
        self.threads.append(thread)
        return thread

    def kill(self) -> None:
        """SIGKILL."""
        if not self.dead:
            self._end()
            self.unwind()

    def unwind(self) -> None:
        """Ends the threads of a process that has ended: greenlets that stay suspended are never freed."""
        for thread in list(self.threads):
            thread.end()

    def _end(self) -> None:
        self.dead = True
        self._machine.processes.remove(self)
        for file in self.locked:
            file.holder = None
        self.locked = []


class Lock:
    """Stands in for `filelock.FileLock`: opens, or makes, the file, and locks it if it still has a name."""

    def __init__(self, machine: Machine, path: str, tries: int) -> None:
        self._machine = machine
        self._path = path
        self._tries = tries
        self._file: File | None = None

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            Timeout: another process holds it.
            OSError: the file cannot be made.
        """
        machine = self._machine
        thread = machine.running
        assert thread is not None
        for _ in range(self._tries):
            machine.call()
            file = machine.find(self._path)
            if file is None:
                above = self._path.rpartition("/")[0]
                if above and machine.find(above) is None:
                    _make_folders(machine, above)
                machine.call(self._path)
                file = machine.find(self._path) or machine.create(self._path)
            assert type(file) is File
            machine.call()
            if file.holder is None and file.linked:
                file.holder = thread.process
                thread.process.locked.append(file)
                self._file = file
                return
        raise Timeout(self._path)

    def release(self) -> None:
        """Releases the lock."""
        file, self._file = self._file, None
        thread = self._machine.running
        if file is not None and thread is not None and file.holder is thread.process and not thread.process.dead:
            file.holder = None
            thread.process.locked.remove(file)


def _make_folders(machine: Machine, path: str) -> None:
    above = path.rpartition("/")[0]
    if above and machine.find(above) is None:
        _make_folders(machine, above)
    machine.call(path)
    if machine.find(path) is None:
        folder, name = machine.folder_of(path)
        machine.change((folder, name, Folder(machine.clock)))
