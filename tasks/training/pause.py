"""Pauses a run after an epoch: `TRAIN_RESNET_STOP_AFTER=3`. The same command without the variable goes on from there.

A search that prunes trains its trials in parts by this. It is a variable of the environment and no parameter, because the
schedule of the whole run, and so its bytes, must not depend on where it was paused. A run that may pause writes a checkpoint at
the end of each epoch before it reports the epoch, so no kill loses a finished one.
"""

import os
import re
from dataclasses import dataclass

from resnet.core.errors import UserError
from tasks.stage.signals import EndedError

VARIABLE = "TRAIN_RESNET_STOP_AFTER"
# EX_TEMPFAIL of sysexits.h: the work is not done, and the same command goes on. To DVC every code but 0 is a failure, so it
# neither keeps the outputs nor takes the stage for finished.
CODE = 75
_SHOWN = 40  # characters of a wrong value


class PausedError(EndedError):
    """The run has reached the epoch after which it was to stop, and its checkpoint is on the disk."""

    def __init__(self, epoch: int, epochs: int) -> None:
        """Takes the epoch and `train.epochs`."""
        BaseException.__init__(
            self,
            f"paused after epoch {epoch} of {epochs}, because {VARIABLE} is set: unset it and run the same command to go on",
        )
        self.code = CODE


@dataclass(frozen=True)
class Pause:
    """Where a run pauses.

    Attributes:
        after: the epoch; None for a run that does not pause. At or after the last epoch it does not pause, either.
        epochs: of the whole run.
    """

    after: int | None
    epochs: int

    @classmethod
    def from_environment(cls, epochs: int) -> "Pause":
        """Where the environment says.

        Args:
            epochs: of the whole run.

        Raises:
            UserError: the variable is not a whole number of at least 1.
        """
        given = os.environ.get(VARIABLE)
        if given is None:
            return cls(None, epochs)
        if not re.fullmatch("0*[1-9][0-9]{0,8}", given):
            shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
            raise UserError(
                f"{VARIABLE} must be an epoch, a whole number of at least 1, but it is {shown!r}: correct it or unset it."
            )
        return cls(int(given), epochs)

    def check(self, finished: int) -> None:
        """Ends the run if it is at its pause.

        Args:
            finished: the number of finished epochs.

        Raises:
            PausedError: they are enough.
        """
        if self.after is not None and self.after <= finished < self.epochs:
            raise PausedError(finished, self.epochs)
