"""A look at the names in a folder or an archive, which tells kinds of sources apart."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resnet.ingestion.sources.places import IMAGES
from resnet.ingestion.sources.rows import SUFFIXES as TABLES

_MAX_DEPTH = 3  # levels of folders below the top
_MAX_NAMES = 10_000
_MAX_TABLES = 50  # more are not tables of images, but annotations of single images
_PICKLES = re.compile(r"(data_batch_\d+|test_batch|batches\.meta|(train|test|meta)(?=$))", re.IGNORECASE)
_CIFAR = re.compile(r"cifar-100?0?-(batches-)?py(thon)?", re.IGNORECASE)


@dataclass
class Sightings:
    """What was seen among the names.

    Attributes:
        has_images: whether there is a file with the suffix of an image.
        files: the other files, up to three folders down; in a folder with images none. At most 10,000, in order.
        tables: paths of tables.
        labels: whether there are `.cls` files, as in WebDataset.
        objects: whether a `.json` file is next to an image with the same name, as in WebDataset.
        pickles: the first file of CIFAR's version for Python, if any.
        complete: whether everything was looked at, so that there are no images if none was seen.
    """

    has_images: bool = False
    files: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    labels: bool = False
    objects: bool = False
    pickles: str | None = None
    complete: bool = True
    _last: tuple[str, bool] = ("", False)  # name of the last image or object, and whether it was an image

    def add(self, path: str) -> None:
        """Looks at the path of a file."""
        folder, _, name = path.rpartition("/")
        plain = name.casefold()
        if name.startswith(".") or folder.startswith("__MACOSX"):
            return
        self.labels |= plain.endswith((".cls", ".cls.txt"))
        is_image = plain.endswith(IMAGES)
        if is_image or plain.endswith(".json"):
            sample = (f"{folder}/{plain.partition('.')[0]}", is_image)
            self.objects |= self._last == (sample[0], not is_image)
            self._last = sample
        if is_image:
            self.has_images = True
            return
        if path.count("/") > _MAX_DEPTH:
            return
        if plain.endswith(TABLES) and len(self.tables) < _MAX_TABLES:
            self.tables.append(path)
        if self.pickles is None and _is_pickle(folder, name):
            self.pickles = path
        if len(self.files) < _MAX_NAMES:
            self.files.append(path)

    def watch(self, names: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
        """Passes names on, with whether each is a folder, and looks at those of files. It is complete at the end."""
        self.complete = False
        for name, is_folder in names:
            if not is_folder:
                self.add(name)
            yield name, is_folder
        self.complete = True


def _is_pickle(folder: str, name: str) -> bool:
    found = _PICKLES.fullmatch(name)
    if found is None:
        return False
    return name.casefold().startswith(("data_batch", "batches")) or _CIFAR.search(folder) is not None


def look(root: Path) -> Sightings:
    """Looks at a folder, three levels down. A folder that has an image is not looked through to its end."""
    found = Sightings()
    waiting = [""]
    while waiting and len(found.files) < _MAX_NAMES:
        folder = waiting.pop(0)
        files, folders = _children(root, folder)
        if files is None:
            found.has_images = True
        for name in sorted(files or ()):
            found.add(f"{folder}/{name}" if folder else name)
        if folder.count("/") < _MAX_DEPTH - 1:
            waiting += sorted(f"{folder}/{name}" if folder else name for name in folders)
        elif folders:
            found.complete = False
    found.complete &= not waiting
    return found


def _children(root: Path, folder: str) -> tuple[list[str] | None, list[str]]:
    """The names of the files in a folder, None if there is an image, and those of its folders that were seen until then."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.name.casefold().endswith(IMAGES):
                    return None, folders
                else:
                    files.append(entry.name)
    except OSError:  # reading the folder as a source reports it
        return [], []
    return files, folders
