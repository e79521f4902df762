"""List the runs that are trained now or were trained in the last two weeks, with the page of each.

The page shows the learning curves so far. A browser loads it again by itself while training goes on.
"""

import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet.core.errors import printable
from resnet.core.words import agreeing

if TYPE_CHECKING:
    from tasks.training.points import Points


def live(
    show: Annotated[bool, typer.Option("--open", help="Open the page of the run that was trained last in a browser.")] = False,
) -> None:
    """Lists the runs, the last one first.

    Raises:
        UserError: something else is in the place of their folder.
    """
    from tasks.training.seen import PAGE, require_folder
    from tasks.training.seen import live as place

    require_folder()
    runs = sorted(_runs(), key=lambda run: run[1].time, reverse=True)
    if not runs:
        print(f"live: there is no run in {place()}/ yet; training makes a page there")
    for folder, points, state in runs:
        print(f"{printable(folder.name)}  {_when(points)}  {printable(state)}, {_position(points)}")
        print(f"    {(folder / PAGE).resolve().as_uri()}")
    if show and runs:
        webbrowser.open((runs[0][0] / PAGE).resolve().as_uri())


def _runs() -> Iterator[tuple[Path, "Points", str]]:
    """Folder, points and state of each run."""
    from tasks.training.points import read_points
    from tasks.training.seen import RECORD, folders

    for folder in folders():
        training = _is_trained(folder)  # before its record is read: it may end in between
        points = read_points(folder / RECORD)
        outcome = str(points.end.get("outcome", "killed"))
        if not training and not points.end:
            _correct_page(folder, points)
        yield folder, points, "training" if training else outcome


def _is_trained(folder: Path) -> bool:
    """Whether a process works on a run. The name of its folder says which: after a full disk its record may not."""
    from tasks.training.runs import Run, home, who
    from tasks.training.seen import id_of

    try:
        return any(who(Run(path, {})) for path in home().glob("*/") if id_of(folder) == id_of(path))
    except OSError:  # somebody else's run, which is better left alone
        return True


def _correct_page(folder: Path, points: "Points") -> None:
    """Writes the page of a killed run once more: it still loads itself again."""
    from tasks.training.live import write_page

    if not points.start:  # the record is damaged, and the page knows more
        return
    try:
        write_page(folder, points, running=False, outcome="killed")
    except OSError as error:
        name = printable(folder.name)
        print(
            f"live: the page of {name} cannot be corrected ({error.strerror}): it may look as before the kill", file=sys.stderr
        )


def _when(points: "Points") -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(points.time))


def _position(points: "Points") -> str:
    epochs = points.epochs
    accuracy = f", val_accuracy {epochs[-1]['val_accuracy']:.4f}" if epochs else ""
    planned = points.start.get("epochs", "?")
    return f"{len(epochs)} of {planned} {agreeing(planned, 'epoch', 'epochs')}{accuracy}"
