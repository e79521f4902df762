"""Interprets the folders of a source: class folders, or split folders with class folders inside.

The same rules hold for folders and archives:

- The top-level folders are the classes. Everything below one, at any depth, belongs to it.
- If all top-level folders have names of splits and one is `train`, the classes are one level below.
- Folders that only wrap the rest (`flowers.zip` with a single `flowers/` inside) are skipped.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Reason, Rejected
from resnet.ingestion.sources.source import SPLIT_NAMES

_MAX_WRAPPING = 3  # levels of folders that may wrap the rest
_MAX_DEPTH = _MAX_WRAPPING + 2  # levels that decide the layout: wrapping folders, splits and classes
_IMAGES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
)  # only to find class folders; content decides what is an image
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}
_TEXTS = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|changelog)([^.]*\.(md|txt|rst|html?|pdf|bib|cff))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Layout:
    """Where the classes are in a tree of folders.

    Attributes:
        wrapping: the number of levels of wrapping folders.
        has_splits: whether the class folders are inside split folders.
        classes: the names of the class folders, including empty ones, sorted by code points.
    """

    wrapping: int
    has_splits: bool
    classes: list[str]

    def place(self, path: str) -> tuple[str | None, str | None]:
        """The split of a file, None if the layout has no splits, and its class, None if it is outside all class folders."""
        folders = path.split("/")[self.wrapping : -1]
        split = SPLIT_NAMES[folders.pop(0).casefold()] if self.has_splits and folders else None
        return split, folders[0] if folders else None

    def outcome(self, path: str, read: Callable[[], bytes]) -> Candidate | Rejected | Ignored:
        """The outcome for a file, by its path alone."""
        if is_ignored(path):
            return Ignored(path)
        split, label = self.place(path)
        if label is None:
            return Rejected(path, Reason.NO_LABEL, "it is outside all class folders")
        return Candidate(path, label, read, split)

    def notes(self) -> tuple[str, ...]:
        """How the folders were interpreted, where that may be unexpected."""
        levels = "1 level" if self.wrapping == 1 else f"{self.wrapping} levels"
        return (f"the classes were found {levels} down",) if self.wrapping else ()


def find_layout(entries: Iterable[tuple[str, bool]]) -> Layout:
    """Finds the layout of a tree of folders.

    Args:
        entries: relative paths separated by `/`, and whether each is a folder. Ignored files are skipped.

    Raises:
        UserError: folders with names of splits are mixed with others, or none of them is for training.
    """
    known = _Folders()
    for path, is_folder in entries:
        if is_folder:
            known.add(path.split("/"))
        elif not is_ignored(path):
            known.add(path.split("/")[:-1], has_image=path.lower().endswith(_IMAGES))
    top = known.below_wrapping()
    names = known.children(top)
    has_splits = _are_splits(sorted(names))
    if has_splits:
        names = {child for name in names for child in known.children((*top, name))}
    return Layout(len(top), has_splits, sorted(names))


def _are_splits(names: list[str]) -> bool:
    """Whether folders are splits and not classes.

    Mixtures are refused: if splits were read as classes, a network would learn to tell the splits apart.

    Raises:
        UserError: some have names of splits and others do not, or all do but none is for training.
    """
    splits = [name for name in names if name.casefold() in SPLIT_NAMES]
    if len(splits) < 2:
        return {SPLIT_NAMES.get(name.casefold()) for name in names} == {"training"}
    others = [name for name in names if name not in splits]
    if others:
        raise UserError(
            f"the source has the folders {', '.join(map(repr, splits))}, which have names of splits, beside {others[0]!r}: "
            "remove one or the other, or rename the folders that are classes."
        )
    if "training" not in {SPLIT_NAMES[name.casefold()] for name in splits}:
        raise UserError(f"the source has the splits {', '.join(map(repr, splits))}, but no train; add it, or rename classes.")
    return True


class _Folders:
    """The upper levels of a tree of folders, which decide its layout. Memory does not grow with the number of files."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, ...], set[str]] = {}
        self._with_images: set[tuple[str, ...]] = set()

    def add(self, parts: list[str], *, has_image: bool = False) -> None:
        if any(_is_system_folder(part) for part in parts):
            return
        for level, part in enumerate(parts[:_MAX_DEPTH]):
            self._children.setdefault(tuple(parts[:level]), set()).add(part)
        if has_image and len(parts) < _MAX_DEPTH:
            self._with_images.add(tuple(parts))

    def children(self, folder: tuple[str, ...]) -> set[str]:
        return self._children.get(folder, set())

    def below_wrapping(self) -> tuple[str, ...]:
        """The first folder from the top that has several folders and no images of its own; the top if there is none."""
        folder: tuple[str, ...] = ()
        while len(folder) <= _MAX_WRAPPING and folder not in self._with_images and len(self.children(folder)) == 1:
            folder = (*folder, *self.children(folder))
        return folder if len(self.children(folder)) > 1 and folder not in self._with_images else ()


def is_ignored(path: str) -> bool:
    """Whether a file is not meant to be an image: hidden, written by an operating system, or a text about the images."""
    *folders, name = PurePosixPath(path).parts
    return (
        name.startswith(".")
        or name.casefold() in _SYSTEM_FILES
        or _TEXTS.fullmatch(name) is not None
        or any(_is_system_folder(folder) for folder in folders)
    )


def _is_system_folder(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS
