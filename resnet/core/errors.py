"""Errors that are meant for the person at the keyboard."""

from pathlib import Path


class UserError(Exception):
    """Something that the user can mend.

    Its text is one sentence: what was received, what was expected, what to do. Programs print it without a traceback and
    exit with code 1. Names in it that come from files may hold anything; what would move a cursor, end a line or turn the
    direction of writing is shown as an escape.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    r"""Text of one line that does nothing to a terminal: `\x1b` for an escape, `\n` for the end of a line."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def missing_input(path: Path) -> UserError:
    """What to say of an input that is not there."""
    return UserError(f"{path} is missing; an earlier stage makes it: run `dvc repro`.")


def damaged_input(path: Path, why: object) -> UserError:
    """What to say of an input that is there and cannot be read."""
    reason = (str(why).splitlines() or [""])[0].rstrip(".")
    return UserError(f"{path} is damaged or cut short ({reason}); remove it and run `dvc repro`, which makes it anew.")
