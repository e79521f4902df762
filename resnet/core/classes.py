"""`classes.json`: the names of the labels; label i is the i-th name."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from resnet.core.errors import UserError, damaged_input, missing_input
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


def write_classes(path: Path, classes: list[str]) -> None:
    """Writes the names.

    Raises:
        UserError: there are fewer than two classes or more than 65,536, two have one name or names that differ only in spaces
            that cannot be seen, or a name is not valid Unicode.
    """
    check_classes(classes)
    try:
        path.write_text(json.dumps(classes, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"a class name is not valid Unicode ({error.object[error.start : error.end]!r}); rename it.") from error


def read_classes(path: Path) -> list[str]:
    """The class names in the order of their labels.

    Raises:
        UserError: the file is missing or is not a list of at least two names.
    """
    try:
        names = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except ValueError as error:
        raise damaged_input(path, str(error)) from error
    if not (isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names)):
        raise damaged_input(path, "not a list of two or more names")
    return names
