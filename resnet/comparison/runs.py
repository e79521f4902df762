"""An HTML page that compares several runs with the first of them. It is a single file that loads nothing from the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet.comparison.lines import Parallel, curves, parallel
from resnet.comparison.page import MIRROR, WITH_MIRROR
from resnet.comparison.paired_comparison import PairedComparison
from resnet.pictures.pages import environment

_MOST_AXES = 10
_METRICS = ("mean_average_precision", "macro_f1", "loss", "calibration_error")  # the first only with several labels to an image


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: its name.
        images: the number of test images.
        hits: how many of them it predicts correctly.
        metrics: its figures by name, see `resnet.evaluation.metrics.summarise`.
        parameters: the values of its parameters by dotted names.
        history: one row for each epoch, with the columns epoch, val_loss and val_accuracy; empty if they are not known.
        paired: the comparison with the first run; None for the first run itself.
        code: the source files that differ from those of the first run.
        measure: the accuracy's name: "exact-match accuracy" if images have several labels each.
    """

    name: str
    images: int
    hits: int
    metrics: Mapping[str, float]
    parameters: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    paired: PairedComparison | None
    code: Sequence[str]
    measure: str = "accuracy"

    @property
    def accuracy(self) -> float:
        """The share of correct predictions."""
        return self.hits / self.images

    @property
    def verdict(self) -> str:
        """What the interval of the difference from the first run means, in a word or two."""
        if self.paired is None:
            return ""
        return "better" if self.paired.low > 0 else "worse" if self.paired.high < 0 else "not significant"


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The parameters that are not equal in all runs: by name, the value of each run, None where it has none."""
    names = sorted({name for run in runs for name in run.parameters})
    values = {name: [run.parameters.get(name) for run in runs] for name in names}
    return {name: of_runs for name, of_runs in values.items() if any(value != of_runs[0] for value in of_runs)}


def mirror_remark(runs: Sequence[Run]) -> str:
    """Names the runs that were tested with mirror images, in a sentence; empty if all were tested alike."""
    numbers = [str(number) for number, run in enumerate(runs, 1) if run.parameters.get(MIRROR)]
    if not numbers or len(numbers) == len(runs):
        return ""
    which = f"run {numbers[0]} was" if len(numbers) == 1 else f"the runs {', '.join(numbers)} were"
    return f"Only {which} tested {WITH_MIRROR}."


def render_runs(runs: Sequence[Run]) -> str:
    """The page as HTML.

    Args:
        runs: 2 to 20 runs on the same test images; the others are compared with the first.
    """
    from resnet.evaluation.metrics import wilson_interval

    parameters, histories = differing(runs), [run.history for run in runs]
    reach = max(0.001, *(abs(bound) for run in runs if run.paired for bound in (run.paired.low, run.paired.high)))
    return (
        environment(Path(__file__).parent)
        .get_template("runs.html")
        .render(
            runs=runs,
            mirrored=mirror_remark(runs),
            names=[run.name for run in runs],
            best=max(runs, key=lambda run: run.hits),
            intervals=[wilson_interval(run.hits, run.images) for run in runs],
            reach=reach,
            places=_places(runs),
            metrics=[name for name in _METRICS if all(name in run.metrics for run in runs)],
            loss=curves(histories, "val_loss"),
            accuracy=curves(histories, "val_accuracy", most=1),
            parameters=parameters,
            coordinates=_coordinates(parameters, runs),
            most_axes=_MOST_AXES,
        )
    )


def _coordinates(parameters: Mapping[str, Sequence[Any]], runs: Sequence[Run]) -> Parallel | None:
    """The first parameters that differ, and the accuracy as the last axis."""
    axes = dict(list(parameters.items())[:_MOST_AXES])
    return parallel({**axes, f"{runs[0].measure}, %": [round(100 * run.accuracy, 2) for run in runs]}) if axes else None


def _places(runs: Sequence[Run]) -> list[dict[str, list[int]]]:
    """The places of each run in the other orders of the table: by accuracy, by loss and by name."""
    keys = (
        lambda run: -run.hits,
        lambda run: run.metrics.get("loss", 0.0),
        lambda run: run.name,
    )
    orders = [sorted(range(len(runs)), key=lambda place, key=key: key(runs[place])) for key in keys]  # type: ignore[misc]
    return [{"places": [order.index(place) for order in orders]} for place in range(len(runs))]
