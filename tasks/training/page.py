"""The page of a run: its learning curves so far, and where it is. It has no script; a browser loads it again by itself.

The page is made of the run's record of events alone, so it can also be written by another process.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import printable
from resnet.core.tables import HISTORY_COLUMNS
from tasks.training.chart import STYLE, Line, draw_chart
from tasks.training.points import Event, Points

if TYPE_CHECKING:
    from jinja2 import Template

EXPECTED_SECONDS = 10  # between two versions of the page
_REFRESH_SECONDS = 5
_MOST_SECONDS = 10**12  # timedelta fails at a hundred times as many

# The style of all pages. Read as a file and not imported: `train` would depend on the folder of the report's pictures, and
# would train again whenever one of them changes.
_STYLE = Path(__file__).resolve().parents[2] / "resnet" / "pictures"


def render_page(points: Points, now: float, *, running: bool, outcome: str = "") -> str:
    """The page as HTML.

    Args:
        points: of the run; its event `start` has the fields `name` and `about`, see `tasks/training/live.py`.
        now: seconds since 1970.
        running: whether the page loads itself again.
        outcome: how training ended, if no event says it.
    """
    start = points.start
    epochs = max(int(start.get("epochs", 1)), 1)
    done = _done(points)
    outcome = str(points.end.get("outcome", outcome))
    share = 1.0 if outcome == "finished" else min(done / epochs, 1.0)
    return _template().render(
        running=running,
        refresh=_REFRESH_SECONDS,
        expected=EXPECTED_SECONDS,
        headline="Training" if running else f"Training {outcome or 'ended'}",
        name=start.get("name", ""),
        message=points.end.get("message", ""),
        share=share,
        position=list(_position(points, epochs, done, running)),
        charts=list(charts(points, epochs)),
        chart_style=STYLE,
        facts=list(_facts(points)),
        written=datetime.fromtimestamp(now, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent, _STYLE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["plain"] = printable
    environment.filters["name"] = lambda text: Markup("<bdi>{}</bdi>").format(escape(printable(text)))
    return environment.get_template("live.html")


def _last(points: Points) -> Event:
    """The latest step, or the latest epoch if it is later."""
    steps, epochs = points.steps, points.epochs
    if steps and (not epochs or steps[-1]["epoch"] > epochs[-1]["epoch"]):
        return steps[-1]
    return epochs[-1] if epochs else {}


def _done(points: Points) -> float:
    """Epochs done, with the part of the current one."""
    last = _last(points)
    if "step" in last:
        return float(last["epoch"] - 1 + last["step"] / last["steps"])
    return float(last.get("epoch", 0))


def _position(points: Points, epochs: int, done: float, running: bool) -> Iterator[str]:
    last = _last(points)
    if not last:
        yield "Waiting for the first step, which includes compiling the network: up to some minutes"
        return
    where = f"epoch {last['epoch']} of {epochs}"
    if "step" in last:
        where += f", step {last['step']:,} of {last['steps']:,}"
    yield where
    yield f"{last['images_per_second']:.{0 if last['images_per_second'] >= 10 else 2}f} images/s"
    if running and (left := seconds_left(points, epochs - done)) is not None:
        yield f"about {timedelta(seconds=min(round(left), _MOST_SECONDS))} left"
    if points.epochs:
        best = min(points.epochs, key=lambda one: one["val_loss"])
        yield f"lowest validation loss {best['val_loss']:.4f} after epoch {best['epoch']}"
        yield f"validation accuracy then {100 * best['val_accuracy']:.2f} %"


def seconds_left(points: Points, epochs_left: float) -> float | None:
    """The time that the rest will take: as long as the last epochs, or as the steps since this process started.

    Steps are told apart by their position, because the clock may have been set back. None if they do not say it.
    """
    recent = [one["seconds"] for one in points.epochs[-3:] if one["epoch"] >= points.start.get("epoch", 1) + 1]
    if recent:
        return epochs_left * sum(recent) / len(recent)
    begun = points.start.get("epoch", 1), points.start.get("step", 0)
    steps = [one for one in points.steps if (one["epoch"], one["step"]) > begun]
    if len(steps) < 2:
        return None
    first, last = steps[0], steps[-1]
    done = (last["epoch"] - first["epoch"]) + (last["step"] - first["step"]) / last["steps"]
    seconds = last["time"] - first["time"]
    return epochs_left * seconds / done if done > 0 and seconds >= 0 else None


def charts(points: Points, epochs: int) -> Iterator[str]:
    """The charts of loss, accuracy, learning rate and speed."""

    def trained(name: str) -> list[tuple[float, float]]:
        return [(one["epoch"] - 1 + one["step"] / one["steps"], one[name]) for one in points.steps]

    def validated(name: str) -> list[tuple[float, float]]:
        return [(one["epoch"], one[name]) for one in points.epochs]

    # Without the steps, as after the record was removed, there are still the epochs.
    ends = [] if points.steps else points.epochs
    for name, title in (("loss", "Loss (nats)"), ("accuracy", "Accuracy")):
        line = Line("training", "training", trained(name) or [(one["epoch"], one[name]) for one in ends])
        marked = Line("validation", "validation", validated(f"val_{name}"), marked=True)
        yield draw_chart(title, "epoch", [line, marked], epochs)
    for name, title in (("learning_rate", "Learning rate"), ("images_per_second", "Images per second")):
        line = Line(title, "training", trained(name) or [(one["epoch"], one[name]) for one in ends])
        yield draw_chart(title, "epoch", [line], epochs, from_zero=True)


def _facts(points: Points) -> Iterator[tuple[str, str]]:
    start = points.start
    yield from dict(start.get("about", {})).items()
    if points.epochs:
        latest = points.epochs[-1]
        yield "latest epoch", ", ".join(f"{name} {latest[name]:.6g}" for name in HISTORY_COLUMNS)
    if start:
        yield "computed", f"in {start.get('precision', '?')} on {', '.join(start.get('devices', []))}"
        if start.get("ended"):
            yield "resumed", f"after epoch {start.get('epoch', 1) - 1}, the last one; only the results are written"
        elif (start.get("epoch"), start.get("step")) != (1, 0):
            yield "resumed", f"from epoch {start.get('epoch')}, step {start.get('step')}"
