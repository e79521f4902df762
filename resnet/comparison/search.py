"""An HTML page about a search for parameters that stops most trials early. It is a single file that loads nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from resnet.comparison.lines import curves
from resnet.pictures.pages import environment

_REFRESH_SECONDS = 15
_FAR = 2  # times the usual loss after the first epoch: what is above is not drawn, because it would flatten all other curves


@dataclass(frozen=True)
class SearchedTrial:
    """A trial.

    Attributes:
        values: of its parameters, by dotted names.
        history: one row for each epoch so far, with the columns epoch, val_loss and val_accuracy.
        state: what became of it, in a few words.
        experiment: the name of its experiment; empty unless it was trained to the end.
    """

    values: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    state: str
    experiment: str

    @property
    def least(self) -> float:
        """The lowest validation loss; infinite if there is no epoch in which it is a number."""
        return min((row["val_loss"] for row in self.history if not math.isnan(row["val_loss"])), default=math.inf)


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        trials: in the order of their numbers.
        rungs: the epochs after which trials are compared; the last one is the end.
        sizes: the number of trials that train to each rung.
        importances: the share of each parameter in a low loss on the first rung; None if there are too few trials.
        least_trials: that the importances need.
        running: whether the page loads itself again.
        written: the time, for people; a page that loads itself again without a change belongs to a killed search.
    """

    trials: Sequence[SearchedTrial]
    rungs: Sequence[int]
    sizes: Sequence[int]
    importances: Mapping[str, float] | None
    least_trials: int
    running: bool
    written: str = ""


def render_search(search: Search) -> str:
    """The page as HTML."""
    trials = search.trials
    starts = [one.history[0]["val_loss"] for one in trials if one.history and math.isfinite(one.history[0]["val_loss"])]
    most = _FAR * median(starts) if starts else math.inf
    drawn = [[row for row in one.history if row["val_loss"] <= most] for one in trials]
    return (
        environment(Path(__file__).parent)
        .get_template("search.html")
        .render(
            search=search,
            trials=trials,
            parameters=sorted({name for one in trials for name in one.values}),
            names=[f"trial {number}" for number in range(1, len(trials) + 1)],
            best=min(trials, key=lambda one: (not one.experiment, one.least), default=None),
            epochs=sum(len(one.history) for one in trials),
            whole=search.sizes[0] * search.rungs[-1],
            places=_places(trials),
            loss=curves(drawn, "val_loss"),
            accuracy=curves([one.history for one in trials], "val_accuracy", most=1),
            left_out=sum(len(kept) < len(one.history) for kept, one in zip(drawn, trials, strict=True)),
            most=most,
            refresh=_REFRESH_SECONDS,
        )
    )


def _places(trials: Sequence[SearchedTrial]) -> list[dict[str, list[int]]]:
    """The places of each trial in the other orders of the table: by the lowest loss, and by the number of epochs."""
    numbers = range(len(trials))
    orders = [
        sorted(numbers, key=lambda number: trials[number].least),
        sorted(numbers, key=lambda number: (-len(trials[number].history), trials[number].least)),
    ]
    return [{"places": [order.index(number) for order in orders]} for number in numbers]
