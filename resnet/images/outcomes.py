"""The outcome of each file of a source: accepted, rejected with a reason, left out as a duplicate, or ignored.

A file is ignored if it is not meant to be an image (`.DS_Store`, a README). A source yields one `Candidate`, `Rejected` or
`Ignored` for each of its files, so the counts add up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from resnet.core.tables import SET_ASIDE

MAX_FILE_BYTES = 128 * 2**20  # of an encoded image; memory holds several at a time
LONGEST_NAME = 4096  # characters of a path
_LEFT_OF_A_NAME = 300


class Reason(StrEnum):
    """Why a file was rejected; the values are those in `rejected.csv`."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"  # not a regular file, no permission, a dangling link, encrypted or damaged in its archive
    UNDECODABLE = "undecodable"
    NAME_NOT_USABLE = "name_not_usable"  # not UTF-8, leads out of its archive, or is in it twice
    NO_LABEL = "no_label"  # not in a class folder
    LABEL_CONFLICT = "label_conflict"  # the same image has another label too
    UNLABELLED = "unlabelled"  # in a split whose images have no labels, such as the test images of a competition
    SMALL_CLASS = "small_class"  # of a class with fewer images than the user asked for
    LEFT_OUT = "left_out"  # a person decided so, in decisions.csv

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong with the file. Others are listed too, but count as no bad file."""
        return self.value not in SET_ASIDE


class BadFile(Exception):  # noqa: N818 (it describes a file, not an error of the program)
    """The file is not a usable image.

    Attributes:
        reason: the code.
        detail: what was found, in words; without the path.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_size(size: int) -> None:
    """Raises `BadFile` for a file of more than `MAX_FILE_BYTES`, since files are held in memory."""
    if size > MAX_FILE_BYTES:
        raise BadFile(Reason.TOO_LARGE, f"{size:,} bytes; at most {MAX_FILE_BYTES:,} are read")


def shown(name: str) -> str:
    r"""A name that can be printed and stored: bytes that are not UTF-8, and NUL, as `\xe9`; shortened if very long."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return text if len(text) <= LONGEST_NAME else f"{text[:_LEFT_OF_A_NAME]}..."


def is_text(name: str) -> bool:
    """Whether a name is valid Unicode. A name whose bytes are not UTF-8 has surrogates and is not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image.

    Attributes:
        path: name within the source; unique, valid Unicode.
        label: the name of its class; or of several ones, see `Source.multi_label`.
        read: returns the bytes of the file; raises `BadFile`. Call it once, in any thread.
        split: training, validation or test, if the source has splits.
        group: what must stay within one split, such as a patient or a video, if the source has groups.
        unlikely: whether the name is that of a text or an annotation: the file is ignored unless its content is an image.
    """

    path: str
    label: str
    read: Callable[[], bytes]
    split: str | None = None
    group: str | None = None
    unlikely: bool = False


@dataclass(frozen=True)
class Rejected:
    """A file that is left out; a line of `rejected.csv`."""

    path: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Ignored:
    """A file that is not meant to be an image."""

    path: str


Outcome = Candidate | Rejected | Ignored
