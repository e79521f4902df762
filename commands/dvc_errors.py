"""Words what DVC reports as sentences, above all that a run of DVC is going on in this project."""

import re
from typing import TYPE_CHECKING

from resnet.core.errors import UserError

if TYPE_CHECKING:
    from dvc.exceptions import DvcException

# What to do when a file of the work tree is incomplete: a run replaces its outputs one after another.
WHILE_A_RUN = "if a run is going on, ask again when it has ended; otherwise run `dvc repro`."
_HOLDER = re.compile(r"\(PID (\d+)\)")


def unreadable(error: "DvcException") -> UserError:
    """The error to raise if DVC cannot read the project.

    If another process of DVC holds a lock, DVC prints the command of that process once for each locked file, and advises to
    remove its file of locks, which would damage a run that is going on.

    Args:
        error: what DVC raised.
    """
    from dvc.lock import LockError

    if isinstance(error, LockError):
        holder = _HOLDER.search(str(error))
        who = f"a run is going on in this project (PID {holder[1]})" if holder else "another command of DVC holds its lock"
        return UserError(f"{who}; ask again when it has ended.")
    return UserError(f"DVC cannot read this project ({' '.join(str(error).split())}); `dvc status` says more.")
