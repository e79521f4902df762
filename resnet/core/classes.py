"""`classes.json`: the names of the labels; label i is the i-th name."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

from resnet.core.errors import UserError, damaged_input, missing_input

MAX_CLASSES = 2**16  # labels are uint16


def check_classes(classes: list[str]) -> None:
    """Raises `UserError` unless the names are unique and there are 2 to `MAX_CLASSES` of them."""
    duplicate = next((name for name, count in Counter(classes).items() if count > 1), None)
    if duplicate is not None:
        raise UserError(f"the source names the class {duplicate!r} twice; give each class a unique name.")
    if not 2 <= len(classes) <= MAX_CLASSES:
        noun = "class" if len(classes) == 1 else "classes"
        found = ", ".join(map(repr, classes[:3])) or "none"
        raise UserError(
            f"the source has {len(classes)} {noun} ({found}), but a classifier needs 2 to {MAX_CLASSES}: add images of another "
            "class, or choose another source."
        )


def confusable(classes: list[str]) -> list[str]:
    """A sentence for each set of names that differ only in case or Unicode form; they probably mean the same class."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    several = [names for names in alike.values() if len(names) > 1]
    return [f"the classes {', '.join(map(ascii, names))} differ only in case or Unicode form" for names in several]


def write_classes(path: Path, classes: list[str]) -> None:
    """Writes the names.

    Raises:
        UserError: there are fewer than two classes or more than 65,536, two have one name, or a name is not valid Unicode.
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
