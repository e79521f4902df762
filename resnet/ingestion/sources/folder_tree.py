"""The upper levels of a tree of folders: which folders hold images, and how many."""

from collections import Counter
from collections.abc import Iterable

from resnet.ingestion.sources.file_names import is_annotation, is_ignored, is_system_folder

DEEPEST = 10  # levels of folders that are kept apart; images further down count for the folder at this level

Folder = tuple[str, ...]
"""The names of a folder and those around it, from the top of the source; `()` is the top."""


class FolderTree:
    """Folders, and the number of files in each that may be images. Memory grows with the folders, not with the files.

    Args:
        entries: relative paths separated by `/`, and whether each is a folder. Ignored files and texts are skipped.
    """

    def __init__(self, entries: Iterable[tuple[str, bool]]) -> None:
        self._children: dict[Folder, set[str]] = {}
        self._images: Counter[Folder] = Counter()
        self._examples: dict[Folder, tuple[str, str]] = {}  # the first and the last image of a folder
        self._filled: set[Folder] = set()  # folders with images at any depth
        for path, is_folder in entries:
            if is_folder:
                self._add_folder(tuple(path.split("/")))
            elif not is_ignored(path):
                self._add_file(path)

    def _add_folder(self, folder: Folder) -> None:
        if any(map(is_system_folder, folder)):
            return
        for level, name in enumerate(folder[:DEEPEST]):
            self._children.setdefault(folder[:level], set()).add(name)

    def _add_file(self, path: str) -> None:
        *names, name = path.split("/")
        folder = tuple(names[:DEEPEST])
        if is_annotation(path):
            self._add_folder(folder)
            return
        if folder not in self._images:
            self._add_folder(folder)
            self._filled.update(folder[:level] for level in range(len(folder) + 1))
        self._images[folder] += 1
        self._examples[folder] = (self._examples.get(folder, (name,))[0], name)

    def filled(self, folder: Folder) -> list[str]:
        """The folders directly in a folder that hold images, at any depth; sorted by code points."""
        return sorted(name for name in self._children.get(folder, ()) if (*folder, name) in self._filled)

    def empty(self, folder: Folder) -> list[str]:
        """The folders directly in a folder that hold no image; sorted by code points."""
        return sorted(name for name in self._children.get(folder, ()) if (*folder, name) not in self._filled)

    def images(self, folder: Folder) -> int:
        """The number of images directly in a folder."""
        return self._images[folder]

    def all_images(self, folder: Folder) -> int:
        """The number of images in a folder, at any depth."""
        return sum(number for found, number in self._images.items() if found[: len(folder)] == folder)

    def examples(self, folder: Folder) -> tuple[str, ...]:
        """The names of the first and the last image directly in a folder; empty if there is none."""
        return tuple(dict.fromkeys(self._examples.get(folder, ())))

    def at_level(self, level: int) -> list[Folder]:
        """All folders at a level that hold images, at any depth; sorted. The top is level 0."""
        return sorted(folder for folder in self._filled if len(folder) == level)
