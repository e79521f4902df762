"""What the folders of a source mean: class folders, or split folders with class folders inside.

The same rules hold for a folder and for an archive:

- the folders on top are the classes, and all that is below one, at any depth, belongs to it;
- unless all folders on top are named after splits and one is `train`: then the classes are one level below;
- folders that only wrap the rest (`flowers.zip` with a single `flowers/` inside) do not count.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Reason, Rejected

SPLIT_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_WRAPPING = 3  # levels of folders that may wrap the rest
_DEPTH = _WRAPPING + 2  # levels that can decide: those, one of splits and one of classes
_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")  # what a folder of images is told by, no more
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_LITTER_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}
_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|changelog)([^.]*\.(md|txt|rst|html?|pdf|bib|cff))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Layout:
    """Where the classes are.

    Attributes:
        wrapping: number of levels of folders to leave out.
        has_splits: whether folders of splits come before those of classes.
        classes: the names of the class folders in the order of their code points, also of the empty ones.
    """

    wrapping: int
    has_splits: bool
    classes: list[str]

    def place(self, path: str) -> tuple[str | None, str | None]:
        """The split, where the folders say, and the class of a file; no class if it lies outside of all class folders."""
        folders = path.split("/")[self.wrapping : -1]
        split = SPLIT_NAMES[folders.pop(0).casefold()] if self.has_splits and folders else None
        return split, folders[0] if folders else None

    def outcome(self, path: str, read: Callable[[], bytes]) -> Candidate | Rejected | Ignored:
        """What becomes of a file, by its name alone."""
        if is_ignored(path):
            return Ignored(path)
        split, label = self.place(path)
        if label is None:
            return Rejected(path, Reason.NO_LABEL, "it lies outside of all class folders")
        return Candidate(path, label, read, split)

    def notes(self) -> tuple[str, ...]:
        """How the folders were understood, where that may surprise."""
        levels = "1 level" if self.wrapping == 1 else f"{self.wrapping} levels"
        return (f"the classes were found {levels} down",) if self.wrapping else ()


def find_layout(entries: Iterable[tuple[str, bool]]) -> Layout:
    """Reads a layout from names.

    Args:
        entries: relative paths with `/`, and whether each is a folder; those of ignored files do not count.
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
    """Whether folders are splits and not classes; a network trained on a mixture would learn the split.

    Raises:
        UserError: some are and some are not, or they are but none is for training.
    """
    splits = [name for name in names if name.casefold() in SPLIT_NAMES]
    if len(splits) < 2:
        return {SPLIT_NAMES.get(name.casefold()) for name in names} == {"training"}
    others = [name for name in names if name not in splits]
    if others:
        raise UserError(
            f"the source has the folders {', '.join(map(repr, splits))}, which are named as splits, beside {others[0]!r}: take "
            "either out, or rename what is a class."
        )
    if "training" not in {SPLIT_NAMES[name.casefold()] for name in splits}:
        raise UserError(f"the source has the splits {', '.join(map(repr, splits))}, but no train; add it, or rename classes.")
    return True


class _Folders:
    """The upper levels of a tree of folders: enough to tell its layout, however many files it has."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, ...], set[str]] = {}
        self._with_images: set[tuple[str, ...]] = set()

    def add(self, parts: list[str], *, has_image: bool = False) -> None:
        if any(_is_litter_folder(part) for part in parts):
            return
        for level, part in enumerate(parts[:_DEPTH]):
            self._children.setdefault(tuple(parts[:level]), set()).add(part)
        if has_image and len(parts) < _DEPTH:
            self._with_images.add(tuple(parts))

    def children(self, folder: tuple[str, ...]) -> set[str]:
        return self._children.get(folder, set())

    def below_wrapping(self) -> tuple[str, ...]:
        """The first folder, from the top, that has several folders and no image of its own; the top if there is none."""
        folder: tuple[str, ...] = ()
        while len(folder) <= _WRAPPING and folder not in self._with_images and len(self.children(folder)) == 1:
            folder = (*folder, *self.children(folder))
        return folder if len(self.children(folder)) > 1 and folder not in self._with_images else ()


def is_ignored(path: str) -> bool:
    """Whether a file is no image by design: hidden, left by an operating system, or a text about the images."""
    *folders, name = PurePosixPath(path).parts
    return (
        name.startswith(".")
        or name.casefold() in _LITTER
        or _ABOUT.fullmatch(name) is not None
        or any(_is_litter_folder(folder) for folder in folders)
    )


def _is_litter_folder(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LITTER_FOLDERS
