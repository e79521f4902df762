"""A search that prunes against one that does not: the lowest validation loss, and the epochs that it took.

    python -m benchmarks.search digits --trials 20 --epochs 18 --seeds 0 1 # or mnist, or a folder of class folders

The network is ResNet-18 at 32 pixels. Both searches propose and choose by the code of `flows.search`, with the same seed: their
first ten trials are equal, the others follow from the losses that each search sees. A trial has the same curve in both, because
a pause does not change it, so each is trained once, as far as the searches need.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.recipe_data import open_data
from benchmarks.recipes import prepare
from flows.halving import best, deciding, epochs_in_all, rungs, sizes
from flows.proposals import Known, propose
from flows.search import make_space
from resnet.core.errors import UserError

BETWEEN: dict[str, list[Any]] = {"train.shift": [0.0, 0.3], "train.momentum": [0.8, 0.98]}
BETWEEN_LOG: dict[str, list[Any]] = {"train.learning_rate": [0.0001, 0.1]}
AMONG: dict[str, list[Any]] = {"train.optimizer": ["adam", "sgd"]}

Loss = Callable[[Mapping[str, Any], int], float]  # of a trial with these values, up to an epoch: the lowest


def unpruned(loss: Loss, trials: int, epochs: int, seed: int) -> float:
    """The lowest loss of a search that trains every trial to the end."""
    return min(one.loss for one in _trials(loss, trials, epochs, seed) if one.loss is not None)


def pruned(loss: Loss, trials: int, ends: tuple[int, ...], counts: list[int], seed: int) -> float:
    """The lowest loss of a search that prunes, of the trials that train to the end."""
    return _halved(loss, _trials(loss, trials, ends[0], seed), ends, counts)


def chosen(loss: Loss, trials: int, ends: tuple[int, ...], counts: list[int], seed: int) -> float:
    """The lowest loss if only the trials of the search that prunes nothing were pruned: the proposals are the same."""
    return _halved(loss, _trials(loss, trials, ends[-1], seed), ends, counts)


def _halved(loss: Loss, proposed: list[Known], ends: tuple[int, ...], counts: list[int]) -> float:
    known = dict(enumerate(proposed))
    for before, end, count in zip(ends, ends[1:], counts[1:], strict=False):
        losses = {number: loss(one.values, before) for number, one in known.items()}
        known = {number: Known(known[number].values, loss(known[number].values, end)) for number in best(losses, count)}
    return min(one.loss for one in known.values() if one.loss is not None)


def _trials(loss: Loss, trials: int, epochs: int, seed: int) -> list[Known]:
    known: list[Known] = []
    for number in range(trials):
        well = [one for one in known if one.loss is not None and math.isfinite(one.loss)]
        values = propose(make_space(BETWEEN, BETWEEN_LOG, AMONG), seed, number, well)
        known.append(Known(values, loss(values, epochs)))
    return known


def make_loss(splits: Any, classes: list[str], *, epochs: int, width: int, seed: int) -> Loss:
    """A function that trains a trial, unless it has trained it as far before."""
    curves: dict[str, list[float]] = {}

    def loss(values: Mapping[str, Any], until: int) -> float:
        curve = curves.get(str(values), [])
        if len(curve) < until:
            changes = {name.removeprefix("train."): value for name, value in values.items()}
            _, fit = prepare(splits, classes, changes, epochs=epochs, seed=seed, width=width, weights="builtin/random")
            try:
                curve = curves[str(values)] = [epoch.val_loss for epoch in fit(until).state.history]
            except UserError:  # the loss became infinite: the trial fails
                curve = curves[str(values)] = [math.inf] * epochs
            print(f"{values}: {min(curve):.4f} after {until} epochs", file=sys.stderr, flush=True)
        return min(curve[:until])

    return loss


def main() -> None:
    """Prints a line for each seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="digits, mnist, or a folder of class folders")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--width", type=int, default=16, help="channels of the stem")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    ends, counts = deciding(rungs(given.epochs, 1), sizes(given.trials))
    share = epochs_in_all(counts, ends) / (given.trials * given.epochs)
    print(f"Rungs {ends}, trials {counts}: {share:.3f} of the epochs. The lowest validation loss of each search:\n")
    print("| seed | without pruning | with pruning | ratio | pruning the same trials | ratio |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        splits, classes = open_data(given.data, Path(folder) / "data")
        for seed in given.seeds:
            loss = make_loss(splits, classes, epochs=given.epochs, width=given.width, seed=seed)
            whole = unpruned(loss, given.trials, given.epochs, seed)  # first, because the other one needs parts of its curves
            few = pruned(loss, given.trials, ends, counts, seed)
            same = chosen(loss, given.trials, ends, counts, seed)
            print(f"| {seed} | {whole:.4f} | {few:.4f} | {few / whole:.3f} | {same:.4f} | {same / whole:.3f} |", flush=True)


if __name__ == "__main__":
    main()
