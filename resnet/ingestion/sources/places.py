"""Finds the images that a table names: in which folder they are, and with which extension."""

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from resnet.core.errors import UserError
from resnet.images.outcomes import is_text
from resnet.ingestion.sources.rows import TableFile

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
# Where the images of a table are by convention, below the folder of the table. {} is the name of the table without its suffix.
_FOLDERS = ("{}", "{}_images", "images", "image", "imgs", "img", "train", "train_images", "data", "jpg", "photos", "pictures")
_MAX_BESIDE = 100  # folders beside a table that are looked at


class Place(Protocol):
    """Folders with images, on a disk or in an archive. Paths are separated by `/`; the top is the empty path."""

    def files(self, folder: str) -> Iterable[str]:
        """The names of the files in a folder; none if there is no such folder."""

    def folders(self, folder: str) -> Iterable[str]:
        """The names of the folders in a folder."""

    def inside(self, path: str) -> str:
        """A path relative to the top, if it is below the top; otherwise as it is."""


class Disk:
    """A folder on a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tops = str(root.resolve()), posixpath.normpath(root.absolute())

    def files(self, folder: str) -> list[str]:
        """See `Place`. Links that lead nowhere are among them: reading them says why they cannot be used."""
        return self._names(folder, folders=False)

    def folders(self, folder: str) -> list[str]:
        """See `Place`."""
        return self._names(folder, folders=True)

    def inside(self, path: str) -> str:
        """See `Place`. Links below the top are not followed."""
        if not path.startswith(("/", "../")):
            return path
        whole = posixpath.normpath(posixpath.join(self._tops[0], path))
        return next((whole.removeprefix(f"{top}/") for top in self._tops if whole.startswith(f"{top}/")), path)

    def _names(self, folder: str, *, folders: bool) -> list[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                return [entry.name for entry in entries if entry.is_dir() == folders and is_text(entry.name)]
        except (OSError, ValueError):  # it is not there, the name is too long, or it has a NUL
            return []


class Listed:
    """The names in an archive."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files: dict[str, list[str]] = {}
        self._folders: dict[str, set[str]] = {}
        for name in names:
            folder, _, file = name.rpartition("/")
            if folder not in self._files:
                self._add_folder(folder)
            self._files[folder].append(file)

    def _add_folder(self, folder: str) -> None:
        self._files.setdefault(folder, [])
        while folder:
            above, _, name = folder.rpartition("/")
            self._folders.setdefault(above, set()).add(name)
            folder = above

    def files(self, folder: str) -> list[str]:
        """See `Place`."""
        return self._files.get(folder, [])

    def folders(self, folder: str) -> list[str]:
        """See `Place`."""
        return sorted(self._folders.get(folder, ()))

    def inside(self, path: str) -> str:
        """See `Place`."""
        return path


class Finder:
    """Finds files by the names that a table has for them.

    A name may lack the extension, be written with backslashes, have spaces around it, or differ in case.
    """

    def __init__(self, place: Place, *bases: str) -> None:
        self.bases = bases
        self.place = place
        self._listings: dict[str, _Listing] = {}

    def find(self, name: str) -> str | None:
        """The path of a file within the place; None if there is no such file.

        Raises:
            UserError: several files have this name, with different extensions or in several folders.
        """
        if not name.strip() or "\0" in name:
            return None
        for written in dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/"))):
            places = dict.fromkeys(posixpath.join(base, written) for base in self.bases)  # one for an absolute name
            found = [path for place in places if (path := self._find(place))]
            if len(found) > 1:
                raise _several(name, found, "name the folder in ingest.image_folder")
            if found:
                return found[0]
        return None

    def _find(self, path: str) -> str | None:
        folder, _, file = posixpath.normpath(path).rpartition("/")
        if path.startswith("/") and not folder:
            folder = "/"
        if folder not in self._listings:
            self._listings[folder] = _Listing(self.place.files(folder))
        found = self._listings[folder].find(file)
        return None if found is None else posixpath.join(folder, found)


def _several(name: str, found: Sequence[str], advice: str) -> UserError:
    return UserError(f"the table names an image {name!r}, which may be {' or '.join(map(repr, found[:3]))}: {advice}.")


class _Listing:
    """The files of a folder, by name, by name without extension, and by name without case."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._alike: Mapping[str, list[str]] | None = None

    def find(self, name: str) -> str | None:
        if name in self._names:
            return name
        if self._alike is None:
            self._alike = _alike(self._names)
        found = self._alike.get(name.casefold(), [])
        exact = [one for one in found if one.startswith(name)]
        several = exact or found
        if len(several) > 1:
            raise _several(name, several, "write its name with the extension")
        return several[0] if several else None


def _alike(names: Iterable[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        plain = name.casefold()
        found.setdefault(plain, []).append(name)
        if plain.endswith(IMAGES):
            found.setdefault(plain.rpartition(".")[0], []).append(name)
    return found


def find_base(place: Place, table: TableFile, names: list[str], wanted: str | None) -> Finder:
    """The folder that the names of a table start from.

    It is that of the table if all images are found from there, otherwise that with the name of the table, otherwise the only
    one from which all are found: first among the folders with usual names, then among all folders beside the table. The images
    may also be spread over the latter. If some images are missing everywhere, it is the folder with most.

    Args:
        place: where the images are.
        table: the table.
        names: what the table has for its images.
        wanted: the folder that the user names, absolute or relative to the table's; None to find it.

    Raises:
        UserError: all images are found from several folders.
    """
    if wanted is not None:
        base = posixpath.normpath(posixpath.join(table.folder, wanted))
        return Finder(place, "" if base == "." else base)
    known = [pattern.format(table.stem).casefold() for pattern in _FOLDERS]
    beside = sorted(name for name in place.folders(table.folder) if not name.startswith("."))[:_MAX_BESIDE]
    usual = sorted((name for name in beside if name.casefold() in known), key=lambda name: known.index(name.casefold()))
    own = Finder(place, table.folder)
    by_name, others, rest = (
        [Finder(place, posixpath.join(table.folder, name)) for name in tier]
        for tier in ([name for name in usual if name.casefold() == known[0]], usual, beside)
    )
    listing = [finder for finder in rest if _lists_most(finder, names)]
    for tier in ([own], by_name, others, listing):
        full = [finder for finder in tier if _finds_all(finder, names)]
        if len(full) > 1:
            raise _in_several(table, full)
        if full:
            return full[0]
    spread = Finder(place, *(finder.bases[0] for finder in rest))
    if len(rest) > 1 and _lists_most(spread, names) and _finds_all(spread, names):
        return spread
    return max((own, *others, *listing), key=lambda finder: _hits(finder, names))


def _lists_most(finder: Finder, names: list[str]) -> bool:
    """Whether a table has a row for at least every second file of some folders.

    Otherwise a table of class numbers, 0, 1, 2, would be taken for one of the images 0.png, 1.png, 2.png of a class folder.
    """
    return 2 * len(names) >= sum(len(list(finder.place.files(base))) for base in finder.bases)


def _finds_all(finder: Finder, names: list[str]) -> bool:
    try:
        return all(finder.find(name) is not None for name in names)
    except UserError:
        if len(finder.bases) == 1:
            raise
        return False


def _hits(finder: Finder, names: list[str]) -> int:
    return sum(finder.find(name) is not None for name in names)


def _in_several(table: TableFile, finders: list[Finder]) -> UserError:
    folders = ", ".join(finder.bases[0] for finder in finders)
    return UserError(
        f"all images of {table.shown} are found in each of the folders {folders}: name the right one in ingest.image_folder."
    )
