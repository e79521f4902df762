"""Successive halving: which trials of a search go on, and how far (Jamieson and Talwalkar 2016; Li et al. 2018, Hyperband).

All trials train up to a first rung, the best third of them up to a second one, the best third of those to the end. It is
synchronous: a rung is decided when all its trials have reached it. Unlike in asynchronous halving (ASHA), no trial goes on that
a later one would have displaced, the epochs and the disk space are known before the search, and which trials go on follows from
the validation losses alone, not from the order in which parallel runs end. Hyperband's further brackets, which start fewer
trials at a later rung, would take as many epochs again each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet.core.errors import UserError
from resnet.core.words import agreeing

FACTOR = 3  # of trials from rung to rung; Li et al. recommend 3 or 4
_TIMED: tuple[tuple[str, Any], ...] = (("restarts", []), ("patience", 0), ("budget_minutes", 0))


def rungs(epochs: int, settling: int) -> tuple[int, int, int]:
    """The epochs after which trials are compared: a ninth, a third and all of them.

    Args:
        epochs: of the whole run.
        settling: first epochs, in which the learning rate rises or only the head is trained; the first rung comes later.

    Raises:
        UserError: there are too few epochs for three rungs.
    """
    least = settling + 1
    first, second = max(epochs // FACTOR**2, least), epochs // FACTOR
    if first >= second:
        verb = agreeing(settling, "warms up or trains", "warm up or train")
        settled = f", of which {settling} {verb} the head alone" if settling else ""
        raise UserError(
            f"train.epochs is {epochs}{settled}, but a search that prunes compares its trials after two earlier epochs too: "
            f"set it to {FACTOR * (least + 1)} or more, or leave out prune."
        )
    return first, second, epochs


def rungs_of(train: Mapping[str, Any], searched: Sequence[str]) -> tuple[int, int, int]:
    """The rungs of a search by the parameters of `train`.

    Args:
        train: their values, but for those that are searched.
        searched: the dotted names of the parameters that the search varies.

    Raises:
        UserError: the parameters do not allow for pauses at fixed epochs.
    """
    for name in ("train.epochs", "train.warmup_epochs", "train.freeze_epochs"):
        if name in searched:
            raise UserError(
                f"{name} is searched, but a search that prunes compares its trials after the same epochs of equal schedules: "
                "search other parameters, or leave out prune."
            )
    for name, neutral in _TIMED:
        if f"train.{name}" in searched:
            raise UserError(f"train.{name} is searched, but with prune the search ends trials itself: leave out one of them.")
        if train.get(name, neutral) != neutral:
            why = {
                "restarts": "trials are compared within one schedule",
                "patience": "the search ends trials itself",
                "budget_minutes": "trials are compared by epochs, which must not depend on the speed of the machine",
            }[name]
            raise UserError(
                f"train.{name} is {train[name]}, but in a search that prunes {why}: set it to {neutral} and commit, or leave "
                "out prune."
            )
    return rungs(train["epochs"], math.ceil(train.get("warmup_epochs", 0)) + train.get("freeze_epochs", 0))


def sizes(trials: int, levels: int = 3) -> list[int]:
    """The number of trials on each rung; at least one trains to the end.

    Raises:
        UserError: there is nothing to prune.
    """
    if trials < FACTOR:
        raise UserError(f"trials is {trials}, but a search that prunes needs at least {FACTOR} trials to choose from.")
    return [max(1, trials // FACTOR**level) for level in range(levels)]


def deciding(ends: Sequence[int], counts: Sequence[int]) -> tuple[tuple[int, ...], list[int]]:
    """The rungs at which trials are stopped, and the end; with few trials the second rung decides nothing."""
    kept = [level for level in range(len(ends)) if level == len(ends) - 1 or counts[level + 1] < counts[level]]
    return tuple(ends[level] for level in kept), [counts[level] for level in kept]


def epochs_in_all(counts: Sequence[int], ends: Sequence[int]) -> int:
    """The epochs that the trials train together: each goes on from where it paused."""
    return sum(count * (end - before) for count, before, end in zip(counts, (0, *ends), ends, strict=False))


def best(losses: Mapping[int, float], count: int) -> list[int]:
    """The numbers of the trials with the lowest losses; of equal ones, the earlier trial. Losses that are not finite lose."""
    finite = [number for number in losses if math.isfinite(losses[number])]
    return sorted(sorted(finite, key=lambda number: (losses[number], number))[:count])


@dataclass(frozen=True)
class Plan:
    """What a search will do.

    Attributes:
        space: Optuna's distribution by parameter.
        rungs: the epochs after which trials are compared; the last one is the end.
        sizes: the number of trials that reach each rung.
        seed: of the proposals.
        commit: of all runs.
        name: prefix of the names of the experiments.
        parallel: the number of runs at a time.
        overrides: parameters to change in all runs.
    """

    space: dict[str, Any]
    rungs: tuple[int, ...]
    sizes: list[int]
    seed: int
    commit: str
    name: str
    parallel: int
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def sentence(self) -> str:
        """The trials and epochs, for people."""
        steps = ", ".join(f"{count} to epoch {end}" for count, end in zip(self.sizes, self.rungs, strict=True))
        whole = self.sizes[0] * self.rungs[-1]
        return f"Trials that train: {steps}; {epochs_in_all(self.sizes, self.rungs):,} epochs instead of {whole:,}."
