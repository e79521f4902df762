"""`classes.json`: the names of the classes; label i is the i-th name.

If images have several labels each, the file is an object with the names as `classes`, and as `label_sets` a list with the
numbers of the classes in each set; label i is then the i-th set, see `resnet.core.label_sets`.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from resnet.core.errors import UserError, damaged_input, missing_input
from resnet.core.label_sets import LabelSets
from resnet.core.words import counted

MAX_CLASSES = 2**16  # labels are uint16


# Cyrillic and Greek small letters that look like Latin ones, as in the table of Unicode Technical Standard 39.
_LOOK_ALIKE = str.maketrans("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u03bd\u03b1", "aeopcyxijsova")
_BETWEEN_WORDS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")


def check_classes(classes: list[str]) -> None:
    """Raises `UserError` unless there are 2 to `MAX_CLASSES` names that differ in more than spaces that cannot be seen."""
    duplicate = next((name for name, count in Counter(classes).items() if count > 1), None)
    if duplicate is not None:
        raise UserError(f"the source names the class {duplicate!r} twice; give each class a unique name.")
    for names in _alike(classes, _without_invisible):
        raise UserError(
            f"the classes {', '.join(map(ascii, names))} differ only in spaces that cannot be seen: give them one name if they "
            "are one class, or different names."
        )
    if not 2 <= len(classes) <= MAX_CLASSES:
        found = ", ".join(map(repr, classes[:3])) or "none"
        raise UserError(
            f"the source has {counted(len(classes), 'class', 'classes')} ({found}), but a classifier needs 2 to "
            f"{MAX_CLASSES:,}: add images of another class, or choose another source."
        )


def confusable(classes: list[str]) -> list[str]:
    """A sentence for each set of names that are hard to tell apart; they probably mean the same class."""
    return [f"the classes {', '.join(map(ascii, names))} look alike and may be one class" for names in _alike(classes, _looks)]


def _alike(classes: list[str], key: Callable[[str], str]) -> list[list[str]]:
    """The sets of two or more names with the same key."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(key(name), []).append(name)
    return [names for names in alike.values() if len(names) > 1]


def _without_invisible(name: str) -> str:
    """The name with single spaces between words and none around them, without characters of no width (category Cf)."""
    return " ".join("".join(char for char in name if unicodedata.category(char) != "Cf").split())


def _looks(name: str) -> str:
    """What a name looks like at a glance: without case, accents' encoding, hyphens, spaces and the script of letters."""
    plain = _without_invisible(unicodedata.normalize("NFKC", name)).casefold().translate(_LOOK_ALIKE)
    return _BETWEEN_WORDS.sub("", plain) or name


def write_classes(path: Path, classes: list[str], label_sets: LabelSets | None = None) -> None:
    """Writes the names, and the sets of images with several labels.

    Raises:
        UserError: there are fewer than two classes or more than 65,536, two have one name or names that differ only in spaces
            that cannot be seen, a name is not valid Unicode, or there are more than 65,536 sets.
    """
    check_classes(classes)
    tree: object = classes
    if label_sets is not None:
        if len(label_sets) > MAX_CLASSES:
            raise UserError(
                f"the images of the source have {len(label_sets):,} different sets of labels, but at most {MAX_CLASSES:,} can "
                "be told apart: leave out rare classes, which ingest.min_images_per_class can do."
            )
        tree = {"classes": classes, "label_sets": label_sets.numbers()}
    try:
        text = json.dumps(tree, ensure_ascii=False, indent=1 if label_sets is None else None)
        path.write_text(text + "\n", encoding="utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"a class name is not valid Unicode ({error.object[error.start : error.end]!r}); rename it.") from error


def read_classes(path: Path) -> list[str]:
    """The class names in their order.

    Raises:
        UserError: the file is missing, or has no list of at least two names.
    """
    return _read(path)[0]


def read_label_sets(path: Path) -> LabelSets | None:
    """The sets of images with several labels each; None if each image has one label.

    Raises:
        UserError: as `read_classes`, or a set has a class that does not exist, or twice.
    """
    return _read(path)[1]


def read_label_texts(path: Path) -> list[str]:
    """What each label means as text, as in `manifest.csv`: a class name, or the names of a set.

    Raises:
        UserError: as `read_label_sets`.
    """
    classes, label_sets = _read(path)
    return classes if label_sets is None else label_sets.texts(classes)


def _read(path: Path) -> tuple[list[str], LabelSets | None]:
    try:
        tree = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except ValueError as error:
        raise damaged_input(path, str(error)) from error
    several = isinstance(tree, dict)
    names = tree.get("classes") if several else tree
    if not (isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names)):
        raise damaged_input(path, "not a list of two or more names")
    if not several:
        return names, None
    sets = tree.get("label_sets")
    if not (isinstance(sets, list) and sets and all(_is_set(one, len(names)) for one in sets)):
        raise damaged_input(path, f"its label_sets are not lists of numbers of its {len(names)} classes")
    if len({tuple(sorted(one)) for one in sets}) < len(sets):
        raise damaged_input(path, "it has a label set twice")
    return names, LabelSets.of_numbers(sets, len(names))


def _is_set(numbers: object, classes: int) -> bool:
    """Whether this is a list of different numbers of classes."""
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < classes for number in numbers):
        return False
    return len(set(numbers)) == len(numbers)
