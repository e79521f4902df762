"""How a search that prunes is shown: as a page that is written again whenever a trial starts or pauses, and as a table."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.halving import Plan
from flows.names import short_names
from flows.proposals import TRIALS_FOR_IMPORTANCE, Known, importances
from flows.results import accuracy_column
from flows.search_record import Trial
from flows.sweep import aligned
from resnet.comparison.search import Search, SearchedTrial, render_search
from resnet.core.files import replacing

PAGE = Path("reports", "search", "index.html")


@dataclass(frozen=True)
class Standing:
    """Where a search is.

    Attributes:
        plan: what it does.
        trials: by their numbers, from 0.
        on: the numbers of those that were not stopped.
        running: by number, to which epoch a trial trains now.
    """

    plan: Plan
    trials: Mapping[int, Trial]
    on: frozenset[int]
    running: Mapping[int, int]

    def state(self, number: int) -> str:
        """What became of a trial, in a few words."""
        one = self.trials[number]
        if one.failure:
            return f"failed: {one.failure}"
        if number in self.running:
            return f"trains to epoch {self.running[number]}"
        if one.result:
            return "finished"
        if number not in self.on:
            # DVC's cache may have had more epochs than the search asked for.
            rung = max((end for end in self.plan.rungs[:-1] if end <= one.epochs), default=one.epochs)
            return f"stopped at epoch {rung}"
        return f"paused at epoch {one.epochs}" if one.history else "interrupted"

    def ordered(self) -> list[int]:
        """The numbers of the trials: those that got further first, then the lowest loss."""
        return sorted(self.trials, key=lambda number: self._place(self.trials[number], number))

    def _place(self, one: Trial, number: int) -> tuple[bool, int, float, int]:
        rung = sum(end <= one.epochs for end in self.plan.rungs)
        return bool(one.failure), -rung, one.loss(self.plan.rungs[-1]), number


def write_page(project: Path, standing: Standing, *, running: bool) -> None:
    """Writes the page of a search.

    Args:
        project: its folder.
        standing: of the search.
        running: whether the page loads itself again.

    Raises:
        UserError: the disk is full.
        OSError: it cannot be written.
    """
    path = project / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    with replacing(path) as partial:
        partial.write_text(render_search(_view(standing, running=running)), encoding="utf-8")


def _view(standing: Standing, *, running: bool) -> Search:
    plan, first = standing.plan, standing.plan.rungs[0]
    trials = [standing.trials[number] for number in sorted(standing.trials)]
    compared = [Known(one.values, one.loss(first)) for one in trials if one.history and not one.failure]
    return Search(
        trials=[
            SearchedTrial(_short(one.values), one.history, standing.state(number), one.result.experiment if one.result else "")
            for number, one in sorted(standing.trials.items())
        ],
        rungs=plan.rungs,
        sizes=plan.sizes,
        importances=importances(plan.space, compared),
        least_trials=TRIALS_FOR_IMPORTANCE,
        running=running,
        written=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    )


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with six digits; Optuna proposes seventeen."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}


def table(standing: Standing) -> str:
    """The trials as a Markdown table: those that got further first, then the lowest validation loss."""
    numbers = standing.ordered()
    tested = accuracy_column(standing.trials[number].result for number in numbers)
    rows = [["experiment", *short_names(standing.plan.space).values(), "epochs", "validation loss", tested]]
    for number in numbers:
        one = standing.trials[number]
        loss = f"{one.loss(standing.plan.rungs[-1]):.4f}"
        name, outcome = f"trial {number + 1}", standing.state(number).replace("|", "/")
        if one.result:
            name, outcome = one.result.experiment, one.result.accuracy()
        rows.append([name, *(str(value) for value in _short(one.values).values()), str(one.epochs), loss, outcome])
    return aligned(rows)
