"""Finds image files on the command line: files, folders with everything below them, and patterns such as `photos/**/*.jpg`."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from resnet.images.outcomes import Reason, Rejected, shown
from resnet.ingestion.sources.file_names import is_ignored
from resnet.ingestion.sources.folder import Entry, walk


def find_images(names: Iterable[str]) -> Iterator[Path | Rejected]:
    """The files for some names, each once, in the order of the names. Files of a folder are sorted by name.

    Files in folders and matches of patterns are left out if they are not meant to be images (`.DS_Store`, a README).
    Files that are named directly are always included.

    Yields:
        The path of each file, or a `Rejected` for a name that matches nothing or cannot be read.
    """
    seen: set[Path] = set()
    for name in names:
        for found in _find(name):
            if isinstance(found, Rejected):
                yield found
            elif found not in seen:
                seen.add(found)
                yield found


def _find(name: str) -> Iterator[Path | Rejected]:
    path = Path(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists() or path.is_symlink()
    except OSError as error:  # such as a name that is too long, or a folder without permission
        yield Rejected(shown(name), Reason.UNREADABLE, (error.strerror or str(error)).lower())
        return
    if is_folder:
        yield from _below(path)
    elif is_there:
        yield path
    elif glob.has_magic(name):
        yield from _matching(name)
    else:
        yield Rejected(shown(name), Reason.UNREADABLE, "there is no such file or folder")


def _below(folder: Path) -> Iterator[Path | Rejected]:
    for entry in walk(folder):
        if isinstance(entry, Rejected):
            yield Rejected(shown(str(folder / entry.path)), entry.reason, entry.detail)
        elif isinstance(entry, Entry) and not entry.is_folder and not is_ignored(entry.path):
            yield folder / entry.path


def _matching(pattern: str) -> Iterator[Path | Rejected]:
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (relative and absolute ones)
    if not matches:
        yield Rejected(shown(pattern), Reason.UNREADABLE, "no file matches it")
    for match in matches:
        if match.is_file() and not is_ignored(match.name):
            yield match
