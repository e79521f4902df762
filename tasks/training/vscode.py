"""Tells DVC's extension of VS Code that an epoch has ended, so that it reads metrics and plots again.

The extension watches the project's folder. It sees `reports/` there by itself, but not that of a run in another work tree, as
of `dvc exp run --temp` and `--queue`. For those DVCLive writes a file, whose change the extension waits for
(https://github.com/iterative/vscode-dvc/issues/4528; `dvclive/vscode.py`). This writes the same file.
"""

import json
import os
from pathlib import Path

_SIGNAL = Path(".dvc", "tmp", "exps", "run", "DVCLIVE_STEP_COMPLETED")


def announce_epoch(epoch: int) -> None:
    """Writes the file in the project, which DVC names in DVC_ROOT.

    Raises:
        OSError: it cannot be written.
    """
    signal = _signal()
    if signal.parents[3].is_dir():
        signal.parent.mkdir(parents=True, exist_ok=True)
        signal.write_text(json.dumps({"pid": os.getpid(), "step": epoch}), encoding="utf-8")


def withdraw() -> None:
    """Removes the file, as DVCLive does at the end of a run.

    Raises:
        OSError: it cannot be removed.
    """
    _signal().unlink(missing_ok=True)


def _signal() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")) / _SIGNAL
