"""Sentences about folders whose interpretation may be unexpected: unlabelled splits, nested classes, folders without images."""

from collections.abc import Iterator, Mapping

from resnet.core.errors import listed
from resnet.core.words import agreeing, counted
from resnet.ingestion.sources.folder_tree import Folder, FolderTree
from resnet.ingestion.sources.split_folders import Reading
from resnet.ingestion.sources.split_names import UNLABELLED, roles


def notes_on_folders(
    tree: FolderTree, reading: Reading, roots: Mapping[Folder, str | None], classes: list[str], *, nested: bool
) -> Iterator[str]:
    """Yields the sentences.

    Args:
        tree: the folders.
        reading: how they were read by their names.
        roots: the folders that hold class folders, with their splits, after the unlabelled ones were found.
        classes: the names of the class folders.
        nested: whether to name classes whose images are all in folders below them.
    """
    yield from _unlabelled(tree, reading, roots)
    if nested and not reading.inside:
        yield from _nested(tree, reading, classes)
    yield from _empty(tree, reading, classes)


def _unlabelled(tree: FolderTree, reading: Reading, roots: Mapping[Folder, str | None]) -> Iterator[str]:
    given = {*roots.values(), UNLABELLED}
    for root, split in reading.roots.items():
        if roots[root] == UNLABELLED:
            number = tree.all_images(root)
            images = f"{counted(number, 'image')} {agreeing(number, 'is', 'are')}"
            cut = "" if split in given else f"; the {split} split is cut from the training images"
            yield f"{'/'.join(root)!r} has no class folders, so its {images} unlabelled and left out{cut}"


def _nested(tree: FolderTree, reading: Reading, classes: list[str]) -> Iterator[str]:
    folders = [(*root, name) for root in reading.labelled() for name in tree.filled(root)]
    nested = [folder for folder in folders if not tree.images(folder) and len(tree.filled(folder)) > 1]
    if nested:
        number = len({folder[-1] for folder in nested})
        like_splits = next((folder for folder in nested if len(roles(tree.filled(folder))) == len(tree.filled(folder))), None)
        example = like_splits or nested[0]
        such = f"{agreeing(number, 'namely', 'such as')} {example[-1]!r}"
        below = agreeing(number, "has all its images in folders below it", "have all their images in folders below them")
        yield (
            f"{number:,} of {counted(len(classes), 'class', 'classes')}, {such}, {below} ({listed(tree.filled(example))}); "
            + (
                "these were not read as splits: folders of splits in the classes must be called train, val and test"
                if like_splits
                else f"if those are the classes, set ingest.class_level to {len(example) + 1}"
            )
        )


def _empty(tree: FolderTree, reading: Reading, classes: list[str]) -> Iterator[str]:
    around = {root[:level] for root in reading.roots for level in range(len(root) + 1)}
    known = set(classes)
    names = sorted({"/".join((*folder, name)) for folder in around for name in tree.empty(folder) if name not in known})
    if names:
        yield f"folders without an image are no classes: {listed(names)}"
