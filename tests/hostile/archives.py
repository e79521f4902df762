"""All hostile archives, and what reading an archive to its end gives."""

import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Rejected
from resnet.ingestion.archives.reading import Folder, read_archive
from tests.hostile.expectation import IMAGE, Hostile
from tests.hostile.tars import TARS
from tests.hostile.zips import ZIPS

ARCHIVES = [*ZIPS, *TARS]


class Read(NamedTuple):
    """What an archive gave.

    Attributes:
        files: contents by name.
        left: files that are left out.
        folders: names.
        refused: why the archive was refused, or nothing.
    """

    files: dict[str, bytes]
    left: list[Rejected]
    folders: list[str]
    refused: str


def read(path: Path) -> Read:
    """Reads an archive to its end, or to where it is refused."""
    result = Read({}, [], [], "")
    try:
        for item in read_archive(path):
            if isinstance(item, Folder):
                result.folders.append(item.name)
            elif isinstance(item, Rejected):
                result.left.append(item)
            else:
                try:
                    result.files[item.name] = item.read()
                except BadFile as bad:
                    result.left.append(Rejected(item.name, bad.reason, bad.detail))
    except UserError as error:
        return result._replace(refused=str(error))
    return result


def check(made: Hostile, folder: Path) -> None:
    """Asserts that reading a hostile archive gives what is expected of it."""
    path = folder / made.file
    made.write(path)
    got = read(path)
    if made.refused:
        assert got.refused.startswith(f"{path} ")
        assert made.refused in got.refused.removeprefix(str(path))  # its name has some of the words in it
        assert got.refused.endswith(".")
        return
    assert got.refused == ""
    assert got.files == dict.fromkeys(made.accepted, IMAGE)
    assert [(each.path, each.reason) for each in got.left] == [(name, reason) for name, reason, _ in made.rejected]
    assert all(words in each.detail for each, (_, _, words) in zip(got.left, made.rejected, strict=True))


def crowd(path: Path, files: int) -> Path:
    """Writes an honest zip or tar archive of `files` files in ten folders, each `IMAGE`."""
    names = [f"class_{number % 10}/{number:06d}.jpg" for number in range(files)]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, IMAGE)
        return path
    info = tarfile.TarInfo()
    info.size = len(IMAGE)
    with path.open("wb") as file:
        for info.name in names:
            file.write(info.tobuf() + IMAGE + bytes(1024 - len(IMAGE)))
        file.write(bytes(1024))
    return path
