"""What a look at something came to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        subject: what was looked at.
        found: what it is like.
        wrong: whether something does not work, or will not.
        mend: the command, or the deed, that mends it or that is next.
    """

    subject: str
    found: str
    wrong: bool = False
    mend: str = ""
