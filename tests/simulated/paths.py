"""Paths on the disk of a simulated machine, with the methods of `pathlib.Path` that the program uses, and no others."""

import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast

from tests.simulated.machine import File, Folder, Machine, Process


def on(machine: Machine, text: str) -> Path:
    """A path on the disk of a machine."""
    return cast("Path", SimulatedPath(machine, text))


def _fault(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


class SimulatedPath:
    """An absolute path; the attributes and methods are those of `pathlib.Path`."""

    __slots__ = ("_machine", "_text")

    def __init__(self, machine: Machine, text: str) -> None:
        self._machine = machine
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"SimulatedPath({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedPath) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __lt__(self, other: "SimulatedPath") -> bool:
        return self._text < other._text

    def __truediv__(self, name: object) -> "SimulatedPath":
        return SimulatedPath(self._machine, f"{self._text}/{name}")

    @property
    def name(self) -> str:
        return self._text.rpartition("/")[2]

    @property
    def parent(self) -> "SimulatedPath":
        return SimulatedPath(self._machine, self._text.rpartition("/")[0])

    @property
    def parents(self) -> "list[SimulatedPath]":
        found, text = [], self._text
        while text:
            text = text.rpartition("/")[0]
            found.append(SimulatedPath(self._machine, text))
        return found

    def with_name(self, name: str) -> "SimulatedPath":
        return SimulatedPath(self._machine, f"{self._text.rpartition('/')[0]}/{name}")

    def absolute(self) -> "SimulatedPath":
        return self

    # What is there.

    @property
    def _node(self) -> File | Folder | None:
        return self._machine.find(self._text) if self._text else self._machine.root

    def _existing(self) -> File | Folder:
        node = self._node
        if node is None:
            raise _fault(errno.ENOENT, self._text)
        return node

    def exists(self) -> bool:
        node = self._node
        if type(node) is not Folder:  # most of these questions are about the folders above a path, which hardly ever change
            self._machine.call()
            node = self._node
        return node is not None

    def is_file(self) -> bool:
        return type(self._node) is File

    def is_dir(self) -> bool:
        return type(self._node) is Folder

    def is_symlink(self) -> bool:
        return False

    def stat(self) -> SimpleNamespace:
        node = self._existing()
        kind, size = (stat.S_IFREG, len(node.data)) if type(node) is File else (stat.S_IFDIR, 4096)
        return SimpleNamespace(st_mode=kind, st_mtime=node.changed, st_size=size)

    def iterdir(self) -> "Iterator[SimulatedPath]":
        self._machine.call()
        node = self._existing()
        if type(node) is not Folder:
            raise _fault(errno.ENOTDIR, self._text)
        return iter([self / name for name in node.entries])

    def glob(self, pattern: str) -> "Iterator[SimulatedPath]":
        self._machine.call()
        first, slash, rest = pattern.partition("/")
        node = self._node
        names = list(node.entries) if type(node) is Folder else []
        if first.startswith("*."):
            matching = [self / name for name in names if name.endswith(first[1:])]
        else:
            matching = [self / name for name in names if fnmatchcase(name, first)]
        if slash:
            matching = [path for path in matching if path.is_dir()]
        if rest:
            matching = [path / rest for path in matching if (path / rest)._node is not None]
        return iter(matching)

    # Changes.

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if parents and self._text and not self.parent.is_dir():
            self.parent.mkdir(mode, parents, exist_ok=True)
        self._machine.call("" if self._node is not None else self._text)
        if self._node is None:
            folder, name = self._machine.folder_of(self._text)
            self._machine.take(1)
            self._machine.change((folder, name, Folder(self._machine.clock)))
        elif not exist_ok or not self.is_dir():
            raise _fault(errno.EEXIST, self._text)

    def touch(self) -> None:
        self.open("ab").close()

    def unlink(self, missing_ok: bool = False) -> None:
        self._machine.call(self._text)
        node = self._node
        if node is None:
            if missing_ok:
                return
            raise _fault(errno.ENOENT, self._text)
        if type(node) is Folder:
            raise _fault(errno.EISDIR, self._text)
        folder, name = self._machine.folder_of(self._text)
        self._machine.change((folder, name, None))

    def rmdir(self) -> None:
        self._machine.call(self._text)
        node = self._existing()
        if type(node) is not Folder:
            raise _fault(errno.ENOTDIR, self._text)
        if node.entries:
            raise _fault(errno.ENOTEMPTY, self._text)
        folder, name = self._machine.folder_of(self._text)
        self._machine.change((folder, name, None))

    def replace(self, target: "SimulatedPath") -> "SimulatedPath":
        self._machine.call(target._text)
        node, other = self._existing(), target._node
        if type(node) is File and type(other) is Folder:
            raise _fault(errno.EISDIR, target._text)
        if type(node) is Folder and type(other) is File:
            raise _fault(errno.ENOTDIR, target._text)
        if type(node) is Folder and type(other) is Folder and other.entries:
            raise _fault(errno.ENOTEMPTY, target._text)
        source, old = self._machine.folder_of(self._text)
        folder, name = self._machine.folder_of(target._text)
        self._machine.change((source, old, None), (folder, name, node))
        return target

    # Contents.

    def open(self, mode: str = "r", **_: object) -> Any:
        if mode in ("r", "rb"):
            self._machine.call()
            node = self._existing()
            if type(node) is not File:
                raise _fault(errno.EISDIR, self._text)
            content = io.BytesIO(node.data)
            return content if mode == "rb" else io.TextIOWrapper(content, "utf-8")
        return _Writing(self._machine, self._text, mode)

    def read_bytes(self) -> bytes:
        return bytes(self.open("rb").read())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content)
        return len(content)

    def write_text(self, content: str, encoding: str = "utf-8") -> int:
        return self.write_bytes(content.encode(encoding))


class _Writing:
    """A file that is open for writing. A system call writes at most half of it, so that it can be cut short."""

    def __init__(self, machine: Machine, path: str, mode: str) -> None:
        self._machine = machine
        self._path = path
        self._waiting: list[bytes] = []
        machine.call(path)
        node = machine.find(path)
        if type(node) is Folder:
            raise _fault(errno.EISDIR, path)
        self._file = node if type(node) is File else machine.create(path)
        if mode[0] == "w" and self._file.data:
            self._file.data, self._file.lost = b"", False
        self._file.changed = machine.clock
        self._process: Process | None = machine.running.process if machine.running else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, content: Any) -> None:
        self._waiting.append(content.encode() if isinstance(content, str) else bytes(content))

    def writelines(self, parts: Iterable[Any]) -> None:
        for part in parts:
            self.write(part)

    def flush(self) -> None:
        content, self._waiting = b"".join(self._waiting), []
        half = (len(content) + 1) // 2
        for part in (content[:half], content[half:]) if content else ():
            self._machine.call(self._path)
            taken = self._machine.take(len(part))
            self._file.data += part[:taken]
            self._file.changed = self._machine.clock
            if taken < len(part):
                raise _fault(errno.ENOSPC, self._path)

    def close(self) -> None:
        self.flush()
