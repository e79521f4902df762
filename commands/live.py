"""List the runs that are trained now or were trained in the last two weeks, with the page of each.

The page shows the learning curves so far. A browser loads it again by itself while training goes on.
"""

import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.training.points import Points


def live(
    show: Annotated[bool, typer.Option("--open", help="Open the page of the run that was trained last in a browser.")] = False,
) -> None:
    """Lists the runs, the last one first."""
    from tasks.training.seen import PAGE
    from tasks.training.seen import live as place

    runs = sorted(_runs(), key=lambda run: run[1].time, reverse=True)
    if not runs:
        print(f"live: there is no run in {place()}/ yet; training makes a page there")
    for folder, points, state in runs:
        print(f"{folder.name}  {_when(points)}  {state}, {_position(points)}")
        print(f"    {(folder / PAGE).resolve().as_uri()}")
    if show and runs:
        webbrowser.open((runs[0][0] / PAGE).resolve().as_uri())


def _runs() -> Iterator[tuple[Path, "Points", str]]:
    """Folder, points and state of each run. The page of a killed run is written once more: it still loads itself again."""
    from tasks.training.live import write_page
    from tasks.training.points import read_points
    from tasks.training.runs import Run, home, who
    from tasks.training.seen import RECORD, folders

    for folder in folders():
        points = read_points(folder / RECORD)
        outcome = str(points.end.get("outcome", ""))
        if not outcome and not who(Run(home() / str(points.start.get("run")), {})):
            outcome = "killed"
            write_page(folder, points, running=False, outcome=outcome)
        yield folder, points, outcome or "training"


def _when(points: "Points") -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(points.time))


def _position(points: "Points") -> str:
    epochs = points.epochs
    accuracy = f", val_accuracy {epochs[-1]['val_accuracy']:.4f}" if epochs else ""
    return f"{len(epochs)} of {points.start.get('epochs', '?')} epochs{accuracy}"
