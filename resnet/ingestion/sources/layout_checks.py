"""Refuses folders of images that are not class folders: images without folders, images beside masks, a single class."""

from collections.abc import Mapping
from itertools import takewhile

from resnet.core.errors import UserError, listed
from resnet.ingestion.sources.folder_tree import Folder, FolderTree
from resnet.ingestion.sources.split_names import roles, words

_IMAGE_WORDS = {"image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures"}
_MASK_WORDS = {
    *("annotation", "annotations", "groundtruth", "gt", "label", "labels", "mask", "masks", "segmentation", "segmentations"),
    *("trimap", "trimaps", "truth"),
}
_KINDS_OF_MASKS = {"class", "ground", "object"}


def refuse_flat(tree: FolderTree, roots: Mapping[Folder, str | None]) -> None:
    """Raises `UserError` if folders that should hold class folders hold images instead.

    Args:
        tree: the folders.
        roots: the folders that should hold class folders, with their splits.
    """
    flat = next((root for root, split in roots.items() if split in (None, "training") and tree.images(root)), None)
    if flat is None:
        return
    examples = tree.examples(flat)
    first_words = {tuple(words(name.rpartition(".")[0])[:1]) for name in examples}
    named = "; the names of the files seem to say the labels" if len(first_words) > 1 and () not in first_words else ""
    where = repr("/".join(flat)) if flat else "the source"
    around = list(takewhile(lambda names: len(set(names)) == 1, zip(*roots, strict=False)))
    level = len(around) + 1
    names = list(dict.fromkeys(root[level - 1] for root in roots if len(root) >= level))
    classes = f"; or set ingest.class_level to {level} if {listed(names)} are classes" if len(names) > 1 else ""
    raise UserError(
        f"{where} holds images ({tree.images(flat):,}, such as {listed(examples)}) and no class folders, so the images have no "
        f"labels{named}: move them into a folder for each class, or list them in a table with the columns path and label"
        f"{classes}."
    )


def refuse_masks(names: list[str], level: int) -> None:
    """Raises `UserError` for images beside masks at a level: a network would learn to tell an image from its mask."""
    found = {name: frozenset(words(name)) for name in names}
    images: dict[frozenset[str], str] = {}
    for name, parts in found.items():
        images.setdefault(parts - _IMAGE_WORDS, name)
    for name, parts in found.items():
        image = images.get(parts - _MASK_WORDS - _KINDS_OF_MASKS) if parts & _MASK_WORDS else None
        if image is not None:
            raise UserError(
                f"the source has the folders {image!r} and {name!r}, which seem to be images and their masks or annotations, "
                f"not classes: remove {name!r}, or set ingest.class_level to {level} if both are classes."
            )


def refuse_single(tree: FolderTree, root: Folder, classes: list[str]) -> None:
    """Raises `UserError` if only one folder holds images, and there are others that may be meant to be classes."""
    if len(classes) > 1:
        return
    inside, empty = tree.filled((*root, classes[0])), tree.empty(root)
    if len(inside) > 1:
        beside = root if tree.images(root) else (*root, classes[0])
        known = roles(inside)
        as_splits = len(known) == len(inside) and "training" in known.values()
        meaning = "splits, " if as_splits else f"the classes, set ingest.class_level to {len(root) + 2}, or "
        raise UserError(
            f"the source has one class folder, {classes[0]!r}, but a classifier needs two classes: if the folders in it, "
            f"{listed(inside)}, are {meaning}remove the images beside them, such as "
            f"{'/'.join((*beside, *tree.examples(beside)[:1]))!r}."
        )
    if empty:
        raise UserError(
            f"the source has one class folder with images, {classes[0]!r}, and folders without an image ({listed(empty)}), but "
            "a classifier needs two classes: add images of another class."
        )
