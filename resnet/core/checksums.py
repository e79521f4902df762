"""SHA-256 of the files of a folder, as `sha256sum` writes and checks them, so that a flipped bit is found before it counts.

Neither disks nor DVC tell: DVC hashes a file anew only when its time or size has changed.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resnet.core.errors import damaged_input, missing_input
from resnet.core.parallel import in_order

RAW, PREPARED = "raw.sha256", "prepared.sha256"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    return _hash(path, hashlib.sha256)


def md5(path: Path) -> str:
    """The MD5 of a file, hexadecimal: what DVC knows files by."""
    return _hash(path, lambda: hashlib.md5(usedforsecurity=False))


def md5_of(content: bytes) -> str:
    """The MD5 of bytes in memory, hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _hash(path: Path, algorithm: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_sums(path: Path) -> None:
    """Lists all files beside `path`, which is created, with the hash of each; those in folders are left out."""
    files = sorted(file for file in path.parent.iterdir() if file.is_file())
    lines = [f"{digest}  {file.name}\n" for file, digest in zip(files, in_order(sha256, files), strict=True)]
    path.write_text("".join(lines), encoding="utf-8")


def verify(sums: Path, names: Iterable[str] | None = None) -> None:
    """Reads files and compares their hashes with those that were written with them.

    Two cores read 3 GB/s where SHA-256 is an instruction of the processor, if the disk is as fast.

    Args:
        sums: what `write_sums` wrote.
        names: of the files beside it that are to be used; all that are listed unless given.

    Raises:
        UserError: a file is missing or another one than was written.
    """
    listed = _read(sums)
    wanted = [*listed] if names is None else [*names]
    for name in wanted:
        if name not in listed:
            raise damaged_input(sums, f"it does not list {name}")
    digests = in_order(sha256, (sums.with_name(name) for name in wanted))
    try:
        for name, digest in zip(wanted, digests, strict=True):
            if digest != listed[name]:
                raise damaged_input(sums.with_name(name), f"its SHA-256 is not the one in {sums.name}")
    except FileNotFoundError as error:
        raise missing_input(Path(error.filename)) from error
    except OSError as error:  # a disk may notice, after all
        raise damaged_input(Path(error.filename or sums), error) from error


def _read(sums: Path) -> dict[str, str]:
    try:
        text = sums.read_text("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line is not whole")
        pairs = [line.split("  ", 1) for line in text.splitlines()]
        return {name: digest for digest, name in pairs}
    except FileNotFoundError as error:
        raise missing_input(sums) from error
    except ValueError as error:
        raise damaged_input(sums, error) from error
