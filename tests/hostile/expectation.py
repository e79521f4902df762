"""A hostile archive and the expected outcome of reading it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet.images.outcomes import Reason

SEED = 20261123
IMAGE = random.Random(SEED).randbytes(700)  # the content of every file that must be accepted
MIB = 1 << 20

Left = tuple[str, Reason, str]


@dataclass(frozen=True)
class Hostile:
    """An archive and the expected outcome.

    Attributes:
        file: its name.
        write: writes it to a path.
        accepted: the names of its members, in order; each reads as `IMAGE`.
        rejected: name, reason and words of the detail of each file that is left out, in order.
        refused: words of the sentence that refuses the archive as a whole.
    """

    file: str
    write: Callable[[Path], object]
    accepted: tuple[str, ...] = ()
    rejected: tuple[Left, ...] = ()
    refused: str = ""


def hostile(
    file: str, content: bytes | Callable[[Path], object], *rejected: Left, accepted: tuple[str, ...] = (), refused: str = ""
) -> Hostile:
    write = content if callable(content) else lambda path: path.write_bytes(content)
    return Hostile(file, write, accepted, rejected, refused)
