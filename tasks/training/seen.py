"""The folders with what is seen of training runs: `live/NAME-ID/` in the project, also for runs in other work trees.

They are not in `.dvc/tmp`, for two reasons: a person finds them, and DVC's extension of VS Code runs `dvc exp show` whenever a
file in `.dvc` changes. Git ignores them by a file of their own, whatever revision is checked out. A folder is small, so it
stays longer than the checkpoints of its run: for two weeks after the last change. So finished runs can be compared in
TensorBoard.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.files import replacing

PAGE = "index.html"
RECORD = "record.jsonl"
DAYS_KEPT = 14

_ID = 8  # digits of the ID of a run in the name of its folder


def live() -> Path:
    """The folder of all runs. DVC names the project of a stage in DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT", ".")) / "live"


def folders(run: str = "") -> Iterator[Path]:
    """The folders of a run, or of all runs: those that have a record.

    Args:
        run: its ID, as `train-resnet checkpoints` lists it.
    """
    for record in live().glob(f"*-{run[:_ID] or '*'}/{RECORD}"):
        yield record.parent


def id_of(folder: Path) -> str:
    """The first digits of the ID of a run, by its folder here or by that of its checkpoints."""
    return folder.name.rpartition("-")[2][:_ID]


def make_folder(run: str, name: str) -> Path:
    """The folder of a run, which keeps its name if the run is resumed under another one.

    Raises:
        OSError: it cannot be made.
    """
    folder = next(folders(run), live() / f"{name}-{run[:_ID]}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hide_from_git() -> None:
    """Writes `.gitignore` to the folder of all runs, unless it is there with a content.

    Raises:
        OSError: it cannot be written.
        UserError: likewise.
    """
    ignore = live() / ".gitignore"
    if ignore.exists() and ignore.read_bytes().strip(b"\0"):  # a full disk or a power cut may have left no content, or zeros
        return
    with replacing(ignore) as partial:
        partial.write_text("*\n", encoding="utf-8")


def require_folder() -> None:
    """Checks that the runs have a folder, or can get one.

    Raises:
        UserError: something else is in its place.
    """
    if os.path.lexists(live()) and not live().is_dir():
        raise UserError(f"{live()} is no folder, but training makes a folder of this name for its pages: move or rename it.")


def remove_folders(run: str) -> None:
    """Removes what is seen of a run."""
    for folder in folders(run):
        disk.remove_tree(folder, ignore_errors=True)


def remove_old_folders() -> None:
    """Removes the folders that did not change for two weeks."""
    for folder in folders():
        with suppress(OSError):  # another process may remove it too
            if (folder / RECORD).stat().st_mtime < disk.now() - DAYS_KEPT * 86400:
                disk.remove_tree(folder)
