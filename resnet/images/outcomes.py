"""What becomes of a source's files: each is accepted, rejected with a reason, left out as a duplicate, or ignored.

A file is ignored when it is no image by design (`.DS_Store`, a README). A source yields one of `Candidate`, `Rejected` and
`Ignored` for each of its files, so that the counts add up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MAX_FILE_BYTES = 128 * 2**20  # of an encoded image; several are in memory at a time
LONGEST_NAME = 4096  # characters of a path
_LEFT_OF_A_NAME = 300


class Reason(StrEnum):
    """Why a file was rejected, as `rejected.csv` has it."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"  # not a regular file, no permission, a dangling link, encrypted or damaged in its archive
    UNDECODABLE = "undecodable"
    NAME_NOT_USABLE = "name_not_usable"  # not UTF-8, or one that leads out of its archive, or stands in it twice
    NO_LABEL = "no_label"  # outside of all class folders
    LABEL_CONFLICT = "label_conflict"  # the same image is there under another label


class BadFile(Exception):  # noqa: N818 (what it is, and not an error of the program)
    """A file that is no usable image.

    Attributes:
        reason: the code.
        detail: what was found, in words, without the path.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_size(size: int) -> None:
    """Raises `BadFile` for a file that is too large to be held in memory: more than `MAX_FILE_BYTES`."""
    if size > MAX_FILE_BYTES:
        raise BadFile(Reason.TOO_LARGE, f"{size:,} bytes; at most {MAX_FILE_BYTES:,} are read")


def shown(name: str) -> str:
    r"""A name as it can be printed and stored: bytes that are not UTF-8, and NUL, as `\xe9`; cut when it is very long."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return text if len(text) <= LONGEST_NAME else f"{text[:_LEFT_OF_A_NAME]}..."


def is_text(name: str) -> bool:
    """Whether a name is valid Unicode, which one of bytes that are not UTF-8 is not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image.

    Attributes:
        path: its name within the source, unique, valid Unicode.
        label: the name of its class.
        read: returns the bytes of the file; raises `BadFile`. May be called once, in any thread.
        split: where the source says so, one of training, validation and test.
        group: where the source says so, what must stay on one side of a split: a patient, a video.
    """

    path: str
    label: str
    read: Callable[[], bytes]
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Rejected:
    """A file that is left out: a line of `rejected.csv`."""

    path: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Ignored:
    """A file that is no image by design."""

    path: str


Outcome = Candidate | Rejected | Ignored
