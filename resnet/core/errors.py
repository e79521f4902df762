"""Errors that are shown to the user as one sentence."""

from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """An error that the user can fix.

    Its text is one sentence: what was received, what was expected, what to do. Programs print it without a traceback and
    exit with code 1. The text may contain names from files. Non-printable characters, such as terminal control sequences, line
    ends and marks that change the writing direction, are replaced with escapes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    r"""The text on one line that is safe to print to a terminal: non-printable characters become `\x1b`, `\n` and so on."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def listed(names: Iterable[str], most: int = 3) -> str:
    """Names in quotes, at most so many, and the number of the others."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(map(repr, every[:most])) + more


def missing_input(path: Path) -> UserError:
    """The error for an input that does not exist."""
    return UserError(f"{path} is missing; an earlier stage writes it: run `dvc repro`.")


def damaged_input(path: Path, why: object) -> UserError:
    """The error for an input that exists but cannot be read."""
    reason = (str(why).splitlines() or [""])[0].rstrip(".")
    return UserError(f"{path} is damaged or cut short ({reason}); remove it and run `dvc repro` to write it again.")
