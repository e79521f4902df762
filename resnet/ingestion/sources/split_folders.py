"""Finds which folders are splits and at which level the classes are.

If splits were read as classes, a network would learn to tell the splits apart. So folders are read as splits only if that is
plain, and what can be read in two ways is refused.

- Names of splits (`train`, `val`, `test` and their variants), or of which these are words (`seg_train`, `test1`), are splits
  if all folders have such names, one is for training, and the names differ in these words alone or a folder called `train`
  holds folders.
- If all folders in the folders have names of splits, the splits are inside the classes. Domains or folds that hold splits look
  like that too, so splits that hold folders of the same names are refused. So are images or other folders beside such splits.
- Other folders that hold the same folders may be splits, or classes with equal parts. This is refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from resnet.core.errors import UserError, listed
from resnet.core.words import counted
from resnet.ingestion.sources.folder_tree import Folder, FolderTree
from resnet.ingestion.sources.layout_checks import refuse_masks
from resnet.ingestion.sources.source import SPLIT_NAMES
from resnet.ingestion.sources.split_names import UNLABELLED, differ_only_in_the_split, roles

_MAX_WRAPPING = 3  # levels of folders that may wrap the rest
_MAX_INNER_WRAPPING = 2  # levels that may wrap the class folders of a split


@dataclass(frozen=True)
class Reading:
    """What folders mean.

    Attributes:
        roots: the folders that hold class folders, with the split of their images, `UNLABELLED`, or None.
        inside: the splits by name of a folder in a class folder.
        notes: how the folders were interpreted, where that may be unexpected.
    """

    roots: dict[Folder, str | None]
    inside: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def labelled(self) -> list[Folder]:
        """The folders whose folders are the classes: those for training and those without a split."""
        return [root for root, split in self.roots.items() if split in (None, "training")]


def read_folders(tree: FolderTree) -> Reading:
    """Interprets folders by their names and by where the images are.

    Raises:
        UserError: folders with names of splits are mixed with others, none of them is for training, folders can be splits as
            well as classes, or they hold images and masks.
    """
    top = _below_wrapping(tree)
    notes = (f"the classes were found {counted(len(top), 'level')} down",) if top else ()
    refuse_masks(tree.filled(top), len(top) + 1)
    splits = _splits(tree, top)
    if splits:
        return Reading(_roots(tree, top, splits), notes=(*notes, *_read_as(splits)))
    inside = _inside(tree, top)
    return Reading({top: None}, inside, (*notes, *_read_inside(inside)))


def read_level(tree: FolderTree, level: int) -> Reading:
    """Takes the folders at a level as the classes, and folders above them with names of splits as splits.

    Without splits above the classes, they may be inside: then all folders in the class folders must have names of splits.

    Raises:
        UserError: no folder at this level holds an image.
    """
    groups = tree.at_level(level - 1)
    if not any(tree.filled(group) for group in groups):
        raise UserError(
            f"ingest.class_level is {level}, but no folder at this level of the source holds images (the folders directly in "
            "it are level 1): correct it, or set it to auto."
        )
    known = roles({name for group in groups for name in group})
    called_train = any(split == "training" and name.casefold() in SPLIT_NAMES for name, split in known.items())
    if not called_train and not (len(known) > 1 and differ_only_in_the_split(known)):  # training_shoes and test_tube
        return _level_without_splits(tree, groups, sorted(known))
    splits = {group: next((known[name] for name in reversed(group) if name in known), None) for group in groups}
    if "training" not in splits.values():
        return _level_without_splits(tree, groups)
    named = {group[-1]: split for group, split in splits.items() if split and group[-1] in known}
    return Reading(splits, notes=tuple(_read_as(named)))


def _level_without_splits(tree: FolderTree, groups: list[Folder], known: Sequence[str] = ()) -> Reading:
    """Takes the folders in folders that are no splits as the classes, with the splits inside them if that is plain.

    Args:
        tree: the folders.
        groups: the folders that hold the class folders.
        known: names of splits above the classes which say different things otherwise.
    """
    folders = [(*group, name) for group in groups for name in tree.filled(group)]
    inside = _parts(tree, folders)
    split = None if inside else _with_splits(tree, folders)
    notes = _read_inside(inside)
    if len(known) > 1:
        notes.append(f"the folders {listed(known)} were not read as splits: these must be called train, val and test")
    if split:
        where = f"the folders {listed(tree.filled(split))} in {'/'.join(split)!r}"
        notes.append(f"{where} were not read as splits: not all class folders hold splits alone")
    return Reading(dict.fromkeys(groups), inside, tuple(notes))


def _read_inside(inside: dict[str, str]) -> list[str]:
    return [f"the folders {listed(sorted(inside))} in the class folders were read as splits"] if inside else []


def _read_as(splits: dict[str, str]) -> list[str]:
    """A note, unless every folder has the plain name of a split."""
    if all(name.casefold() in SPLIT_NAMES for name in splits):
        return []
    return [f"read as splits: {', '.join(f'{name!r} as {split}' for name, split in splits.items())}"]


def _below_wrapping(tree: FolderTree) -> Folder:
    """The first folder from the top that holds several folders and no images of its own; the top if there is none."""
    folder: Folder = ()
    while len(folder) <= _MAX_WRAPPING and not tree.images(folder) and len(tree.filled(folder)) == 1:
        folder = (*folder, *tree.filled(folder))
    return folder if len(tree.filled(folder)) > 1 and not tree.images(folder) else ()


def _roots(tree: FolderTree, top: Folder, splits: dict[str, str]) -> dict[Folder, str | None]:
    """The folders that hold the class folders of each split, with the split."""
    training = {_inner(tree, (*top, name)): split for name, split in splits.items() if split == "training"}
    classes = {name for root in training for name in tree.filled(root)}
    return {_inner(tree, (*top, name), classes): split for name, split in splits.items()}


def _inner(tree: FolderTree, folder: Folder, classes: frozenset[str] | set[str] = frozenset()) -> Folder:
    """The folder that holds the class folders of a split: itself, or one that it wraps, as in `seg_train/seg_train/`."""
    for _ in range(_MAX_INNER_WRAPPING):
        names = tree.filled(folder)
        if tree.images(folder) or len(names) != 1 or names[0] in classes:
            break
        inner = (*folder, *names)
        if not roles(names) and (tree.images(inner) or not tree.filled(inner)):  # test/images/, or a split with one class
            break
        folder = inner
    return folder


def _splits(tree: FolderTree, top: Folder) -> dict[str, str]:
    """The splits by folder; empty if the folders are not splits.

    Raises:
        UserError: some have names of splits and others do not, or all do but none is for training.
    """
    names = tree.filled(top)
    known = roles(names)
    plain = [name for name in names if name.casefold() in SPLIT_NAMES]
    others = [name for name in names if name not in known]
    if others:
        if len(plain) > 1 or _hold_classes(tree, top, known):
            raise _mixed(tree, top, list(known), others)
        return {}
    if "training" not in known.values():
        if len(plain) > 1 and len(plain) == len(names):
            raise UserError(f"the source has the splits {listed(plain)}, but no train; add it, or rename classes.")
        return {}
    if len(plain) == len(names):
        return known
    if set(known.values()) == {"training"}:  # parts of a training split, or kinds of trains
        return known if differ_only_in_the_split(names) and _shared(tree, [(*top, name) for name in names]) else {}
    if differ_only_in_the_split(names) or _train_holds_classes(tree, top, known):
        return known
    _refuse_either(tree, len(top) + 1, names, [(*top, name) for name in names if not tree.images((*top, name))])
    return {}


def _train_holds_classes(tree: FolderTree, top: Folder, known: dict[str, str]) -> bool:
    """Whether a folder that is called train or training holds folders and no images, as splits do."""
    plain = [(*top, name) for name, split in known.items() if split == "training" and name.casefold() in SPLIT_NAMES]
    return any(not tree.images(folder) and len(tree.filled(_inner(tree, folder))) > 1 for folder in plain)


def _hold_classes(tree: FolderTree, top: Folder, known: dict[str, str]) -> bool:
    """Whether folders with names of splits hold folders, as splits do: one called train, or several with the same names."""
    training = [name for name, split in known.items() if split == "training" and not tree.images((*top, name))]
    return _train_holds_classes(tree, top, known) or (
        len(known) > 1
        and bool(training)
        and bool(_shared(tree, [(*top, name) for name in known if not tree.images((*top, name))]))
    )


def _mixed(tree: FolderTree, top: Folder, splits: list[str], others: list[str]) -> UserError:
    inside = [name for split in splits for name in tree.filled((*top, split))]
    below = f", or to {len(top) + 2} if the folders in them are ({listed(dict.fromkeys(inside), 2)})" if inside else ""
    named = f"folders {listed(splits)}, which have names" if len(splits) > 1 else f"folder {splits[0]!r}, which has the name"
    return UserError(
        f"the source has the {named} of splits, beside {listed(others)}: remove one or the "
        "other, or rename the folders that are classes; or set ingest.class_level to "
        f"{len(top) + 1} if all of them are classes{below}."
    )


def _shared(tree: FolderTree, folders: list[Folder]) -> list[str]:
    """The names of folders that several folders hold, if they are two or more and most of all names."""
    counts = Counter(child for folder in folders for child in tree.filled(_inner(tree, folder)))
    shared = sorted(name for name, count in counts.items() if count > 1)
    return shared if len(shared) > 1 and 2 * len(shared) > len(counts) else []


def _inside(tree: FolderTree, top: Folder) -> dict[str, str]:
    """The splits by folder inside the class folders; empty if there are none.

    Raises:
        UserError: the folders hold the same folders, so that they may be splits or classes, or images beside splits.
    """
    names = tree.filled(top)
    folders = [(*top, name) for name in names]
    if len(folders) == 1:  # it wraps the rest, beside stray images
        return {}
    splits = _parts(tree, folders)
    if splits:
        parts = [(*folder, name) for folder in folders for name in tree.filled(folder)]
        _refuse_either(tree, len(top) + 1, names, parts)
        return splits
    split = _with_splits(tree, folders)
    if split:
        raise _beside_splits(tree, folders, split)
    if not any(map(tree.images, folders)):
        _refuse_either(tree, len(top) + 1, names, folders)
    return {}


def _parts(tree: FolderTree, folders: list[Folder]) -> dict[str, str]:
    """The splits by folder in class folders; empty unless all images are in splits, and some for training."""
    names = {name for folder in folders for name in tree.filled(folder)}
    splits = roles(names)
    plain = differ_only_in_the_split(names) and len(splits) == len(names) and UNLABELLED not in splits.values()
    return splits if plain and "training" in splits.values() and not any(map(tree.images, folders)) else {}


def _with_splits(tree: FolderTree, folders: list[Folder]) -> Folder | None:
    """The first class folder, or folder that one wraps, that holds a folder for training beside one of another split."""
    for folder in (_inner(tree, folder) for folder in folders):
        known = roles(tree.filled(folder))
        if "training" in known.values() and len(set(known.values())) > 1 and differ_only_in_the_split(known):
            return folder
    return None


def _beside_splits(tree: FolderTree, folders: list[Folder], split: Folder) -> UserError:
    """Images of classes are in no split, though a class folder has splits."""
    splits = [name for name, role in roles(tree.filled(split)).items() if role != UNLABELLED]
    level = len(folders[0])
    if len(split) > level:
        return UserError(
            f"the folder {'/'.join(split)!r} holds the splits {listed(splits)}, but they must be directly in the class folder: "
            f"move them into {'/'.join(split[:level])!r}, or set ingest.class_level to {level} if they are no splits."
        )
    inside = [(*folder, name) for folder in folders for name in tree.filled(folder)]
    known = roles({folder[-1] for folder in inside})
    example = next(
        chain(
            ((*folder, *tree.examples(folder)[:1]) for folder in folders if tree.images(folder)),
            (folder for folder in inside if known.get(folder[-1], UNLABELLED) == UNLABELLED),
            (folder for folder in inside if folder[-1] not in splits),
        )
    )
    return UserError(
        f"the class folder {'/'.join(split)!r} holds the splits {listed(splits)}, but {'/'.join(example)!r} is in no split: "
        f"remove it, or move it into train, val or test in its class folder; or set ingest.class_level to {level} if "
        f"{listed(splits)} are no splits."
    )


def _refuse_either(tree: FolderTree, level: int, names: list[str], folders: list[Folder]) -> None:
    """Raises `UserError` if folders in the folders with the names, or further down, hold the same folders."""
    shared = _shared(tree, folders)
    if shared:
        below = len(_inner(tree, folders[0])) + 1
        raise UserError(
            f"the folders {listed(names)} hold folders with the same names ({listed(shared)}), so either can be the classes: "
            f"set ingest.class_level to {level} if {listed(names, 2)} are classes, or to {below} if "
            f"{listed(shared, 2)} are; folders of splits must be called train, val and test."
        )
