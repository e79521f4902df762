"""Interprets the folders of a source: class folders, or split folders with class folders inside.

The same rules hold for folders and archives. Folders count if they hold an image, at any depth.

- The top-level folders are the classes. Everything below one, at any depth, belongs to it.
- If their names are those of splits, the classes are one level below; see `resnet.ingestion.sources.split_folders`. A split
  for validation or test without class folders is unlabelled.
- Folders that only wrap the rest (`flowers.zip` with a single `flowers/` inside) are skipped.
- A level that the user gives comes before all of these rules.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from resnet.core.errors import UserError, listed
from resnet.images.outcomes import Candidate, Ignored, Reason, Rejected
from resnet.ingestion.sources.file_names import is_annotation, is_ignored
from resnet.ingestion.sources.folder_tree import Folder, FolderTree
from resnet.ingestion.sources.layout_checks import refuse_flat, refuse_masks, refuse_single
from resnet.ingestion.sources.layout_notes import notes_on_folders
from resnet.ingestion.sources.source import in_order
from resnet.ingestion.sources.split_folders import read_folders, read_level
from resnet.ingestion.sources.split_names import UNLABELLED


@dataclass(frozen=True)
class Layout:
    """Where the classes are in a tree of folders.

    Attributes:
        classes: the names of the class folders, sorted by code points.
        roots: the folders that hold class folders, with the split of their images: a name of `SPLITS`, `UNLABELLED`, or None.
        inside: the splits by name of a folder in a class folder; empty if splits are not inside the classes.
        notes: how the folders were interpreted, where that may be unexpected.
    """

    classes: list[str]
    roots: Mapping[Folder, str | None]
    inside: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the folders give."""
        return in_order((*self.roots.values(), *self.inside.values()))

    def place(self, path: str) -> tuple[str | None, str | None]:
        """The split of a file, None if the layout gives it none, and its class, None if it is outside all class folders."""
        folders = tuple(path.split("/")[:-1])
        root = next((folders[:level] for level in range(len(folders), -1, -1) if folders[:level] in self.roots), None)
        if root is None:
            return None, None
        split, below = self.roots[root], folders[len(root) :]
        if split == UNLABELLED or not below:
            return split, None
        return self.inside.get(below[1], split) if len(below) > 1 else split, below[0]

    def outcome(self, path: str, read: Callable[[], bytes]) -> Candidate | Rejected | Ignored:
        """The outcome for a file, by its path alone."""
        if is_ignored(path):
            return Ignored(path)
        split, label = self.place(path)
        if label is not None:
            return Candidate(path, label, read, split, unlikely=is_annotation(path))
        if is_annotation(path):
            return Ignored(path)
        if split == UNLABELLED:
            return Rejected(path, Reason.UNLABELLED, "in a folder whose images have no labels")
        return Rejected(path, Reason.NO_LABEL, "it is outside all class folders")


def find_layout(entries: Iterable[tuple[str, bool]], class_level: int | None = None) -> Layout:
    """Finds the layout of a tree of folders.

    Args:
        entries: relative paths separated by `/`, and whether each is a folder. Ignored files are skipped.
        class_level: the level of the folders that name the classes; the folders directly in the source are level 1. If None,
            the layout decides.

    Raises:
        UserError: it is not plain which folders are the classes, or which are splits; or there are no folders.
    """
    tree = FolderTree(entries)
    reading = read_folders(tree) if class_level is None else read_level(tree, class_level)
    labelled = reading.labelled()
    classes = sorted({name for root in labelled for name in tree.filled(root)})
    if not classes:
        refuse_flat(tree, reading.roots)
        return Layout(sorted({name for root in labelled for name in tree.empty(root)}), reading.roots)
    if class_level is None and not reading.inside:
        refuse_masks(classes, len(labelled[0]) + 1)
        refuse_single(tree, labelled[0], classes)
    roots = {root: _checked(tree, root, split, classes) for root, split in reading.roots.items()}
    notes = (*reading.notes, *notes_on_folders(tree, reading, roots, classes, nested=class_level is None))
    return Layout(classes, roots, reading.inside, notes)


def _checked(tree: FolderTree, root: Folder, split: str | None, classes: list[str]) -> str | None:
    """The split of a folder; `UNLABELLED` for validation and test without class folders.

    One folder that is no class, such as `val/images` or `test/unknown`, only wraps unlabelled images.

    Raises:
        UserError: several folders are classes of which there is no training image.
    """
    names = tree.filled(root)
    if split in (None, "training", UNLABELLED):
        return split
    unknown = sorted(set(names).difference(classes))
    if not names or (unknown == names and len(names) == 1):
        return UNLABELLED
    if unknown:
        raise UserError(
            f"{'/'.join(root)!r} was read as the {split} split, but its folders {listed(unknown)} are none of the classes of "
            f"the training split ({listed(classes)}): give folders of one class one name, and remove those without training "
            "images."
        )
    return split
