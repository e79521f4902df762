"""Paths on the disk of a simulated machine, with the methods of `pathlib.Path` that the program uses, and no others."""

import errno
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from tests.simulated.machine import File, Folder, Machine, Process


def on(machine: Machine, text: str) -> Path:
    """A path on the disk of a machine."""
    return cast("Path", _on(machine, text))


def _on(machine: Machine, text: str) -> "SimulatedPath":
    # Most paths are named again and again: to keep them is a third of the time of a schedule.
    return machine.paths.get(text) or SimulatedPath(machine, text)


@lru_cache(1000)
def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match


def _fault(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


_NOWHERE = "."  # what is above the top folder


class _Status(NamedTuple):
    st_mtime: float
    st_size: int
    st_mode: int


class SimulatedPath:
    """An absolute path; the attributes and methods are those of `pathlib.Path`."""

    __slots__ = ("_above", "_machine", "_text", "name", "parent", "parents")

    def __init__(self, machine: Machine, text: str) -> None:
        self._machine = machine
        self._text = text
        self._above, _, self.name = text.rpartition("/") if text else (_NOWHERE, "", "")
        machine.paths[text] = self
        self.parent: SimulatedPath = _on(machine, self._above) if text else self
        self.parents: tuple[SimulatedPath, ...] = (self.parent, *self.parent.parents) if text else ()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"SimulatedPath({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, SimulatedPath) and other._text == self._text)

    def __hash__(self) -> int:
        return hash(self._text)

    def __lt__(self, other: "SimulatedPath") -> bool:
        return self._text < other._text

    def __truediv__(self, name: object) -> "SimulatedPath":
        return _on(self._machine, f"{self._text}/{name}")

    def with_name(self, name: str) -> "SimulatedPath":
        return _on(self._machine, f"{self._above}/{name}")

    def absolute(self) -> "SimulatedPath":
        return self

    # What is there.

    @property
    def _node(self) -> File | Folder | None:
        folder = self._machine.folders.get(self._above)
        return folder.entries.get(self.name) if folder is not None else self._machine.find(self._text)

    def _existing(self) -> File | Folder:
        folder = self._machine.folders.get(self._above)  # as in `_node`, whose call would take as long as the rest
        node = folder.entries.get(self.name) if folder is not None else self._machine.find(self._text)
        if node is None:
            raise _fault(errno.ENOENT, self._text)
        if type(node) is Folder:
            self._machine.folders[self._text] = node
        return node

    def exists(self) -> bool:
        # Most of these questions are about the folders above a path, which hardly ever change.
        if self._text in self._machine.folders:
            return True
        if type(self._node) is not Folder:
            self._machine.call()
        return self._node is not None

    def is_file(self) -> bool:
        return type(self._node) is File

    def is_dir(self) -> bool:
        return self._text in self._machine.folders or type(self._node) is Folder

    def is_symlink(self) -> bool:
        return False

    def stat(self) -> "_Status":
        node = self._existing()
        kind, size = (stat.S_IFREG, len(node.data)) if type(node) is File else (stat.S_IFDIR, 4096)
        return _Status(node.changed, size, kind)

    def iterdir(self) -> "Iterator[SimulatedPath]":
        self._machine.call()
        node = self._existing()
        if type(node) is not Folder:
            raise _fault(errno.ENOTDIR, self._text)
        return iter([self / name for name in node.entries])

    def glob(self, pattern: str) -> "Iterator[SimulatedPath]":
        self._machine.call()
        node = self._machine.folders.get(self._text) or self._node
        if type(node) is not Folder:
            return iter(())
        self._machine.folders[self._text] = node
        first, slash, rest = pattern.partition("/")
        entries = node.entries.items()
        if first == "*":
            found = [self / name for name, inode in entries if not slash or type(inode) is Folder]
        elif first.startswith("*."):
            found = [self / name for name in node.entries if name.endswith(first[1:])]
        else:
            matches = _matcher(first)
            found = [self / name for name, inode in entries if matches(name) and (not slash or type(inode) is Folder)]
        if rest:
            found = [path / rest for path in found if (path / rest)._node is not None]
        return iter(found)

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
        self._machine.call()
        node = self._existing()
        if type(node) is not File:
            raise _fault(errno.EISDIR, self._text)
        return node.data

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
