"""Mean average precision on images with several labels, beside timm's ResNet-18 with its binary cross-entropy.

    python -m venv ../timm && ../timm/bin/pip install "torch==2.14.*" torchvision "timm==1.0.31" numpy
    python -m benchmarks.multi_label ../cifar10 --peer ../timm/bin/python --json multi-label.json

Any source of images with one label becomes one with several: an image is a grid of 2 x 2 cells, of which one to four show an
image of the source, and its labels are the classes of these. The images of a split are made from images of that split. Both
sides get the same arrays, batches of 32, random shifts by a tenth, Adam with a warm-up of one epoch and a cosine to zero, and
the weights of the epoch with the lowest validation loss. Learning rate and label smoothing of each are those of `RATES` and
`SMOOTHINGS` with the highest validation figure with the first seed; a training that diverges counts as the lowest. timm
computes in float32.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.recipes import mean_in_words

RATES = (0.002, 0.004, 0.008, 0.016)
SMOOTHINGS = (0.0, 0.1)
SPLITS = ("training", "validation", "test")
BATCH, SHIFT = 32, 0.1

Arrays = dict[str, npt.NDArray[Any]]
Logits = dict[str, npt.NDArray[np.float32]]


class Recipe(NamedTuple):
    """What each side may choose."""

    rate: float
    smoothing: float


Learn = Callable[[Recipe, int], Logits]  # from a recipe and a seed; no logits if the training diverged


def grids(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint16], classes: int, count: int, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """(count, 2 size, 2 size, 3) uint8 grids of (images, size, size, 3), and (count, classes) bool, which classes they show."""
    generator = np.random.default_rng(seed)
    size = images.shape[1]
    found = np.zeros((count, 2 * size, 2 * size, 3), np.uint8)
    truth = np.zeros((count, classes), np.bool_)
    for number in range(count):
        cells = generator.permutation(4)[: generator.integers(1, 5)]
        for cell, row in zip(cells, generator.integers(0, len(images), len(cells)), strict=True):
            top, left = size * (cell // 2), size * (cell % 2)
            found[number, top : top + size, left : left + size] = images[row]
            truth[number, labels[row]] = True
    return found, truth


def make_arrays(source: str, size: int, count: int) -> tuple[Arrays, list[str]]:
    """The grids of each split and their labels; `count` for training, a quarter of it for validation, a half for testing."""
    from benchmarks.label_noise import hashes, read_images
    from resnet.preparation.splits import Shares, assign_splits

    images, labels, classes = read_images(source, size // 2)
    splits = assign_splits(labels, hashes(images), classes, Shares(0.15, 0.3), seed=0)
    arrays: Arrays = {}
    for number, (name, share) in enumerate(zip(SPLITS, (1.0, 0.25, 0.5), strict=True)):
        own = splits == number
        pixels, truth = grids(images[own], labels[own], len(classes), int(share * count), seed=number)
        arrays |= {name: pixels, f"{name}_truth": truth}
    return arrays, classes


def mean_average_precision(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> float:
    """Of the classes that occur; both arrays are (images, classes)."""
    from sklearn.metrics import average_precision_score

    there = truth.any(axis=0)
    return float(average_precision_score(truth[:, there], scores[:, there], average="macro"))


def ours(arrays: Arrays, epochs: int, recipe: Recipe, seed: int) -> Logits:
    """Trains this project's ResNet-18; returns the logits of validation and test, none if it diverged."""
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    import keras

    from benchmarks.recipes import train_parameters
    from resnet.core.label_sets import LabelSets
    from resnet.dataset.arrays import Split, SplitWriter
    from resnet.network.folding import folded_network
    from resnet.network.inference import predict_logits
    from resnet.network.model import ResNet
    from resnet.network.precision import choose_precision, dtype_policy
    from resnet.training.loop import DivergedError
    from resnet.training.recipe import make_trainer

    members, numbers = np.unique(np.concatenate([arrays[f"{name}_truth"] for name in SPLITS]), axis=0, return_inverse=True)
    parts = dict(zip(SPLITS, np.split(numbers, np.cumsum([len(arrays[name]) for name in SPLITS[:2]])), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        splits = []
        for name in SPLITS:
            with SplitWriter(Path(folder) / name, len(arrays[name]), arrays[name].shape[1]) as writer:
                for image, label in zip(arrays[name], parts[name].tolist(), strict=True):
                    writer.add(image, label)
            splits.append(Split(Path(folder) / name, len(members)))
        chosen = {"learning_rate": recipe.rate, "label_smoothing": recipe.smoothing}
        params = train_parameters({"epochs": epochs, "batch_size": BATCH, "shift": SHIFT} | chosen)
        keras.utils.set_random_seed(seed)
        precision = choose_precision("auto")
        with dtype_policy(precision):
            model = ResNet(splits[0].image_shape, members.shape[1], depth=18, multi_label=True)
        trainer = make_trainer(params.recipe(), model, len(splits[0]) // BATCH, precision, label_sets=LabelSets(members))
        try:
            trainer.fit(splits[0], splits[1], epochs=epochs, batch_size=BATCH, seed=seed)
        except DivergedError as error:
            print(error, file=sys.stderr, flush=True)
            return {}
        network = folded_network(model)
        return {name: predict_logits(network, split, 256) for name, split in zip(SPLITS[1:], splits[1:], strict=True)}


def peer(python: str, folder: Path, epochs: int, recipe: Recipe, seed: int) -> Logits:
    """Trains timm's network on `folder/arrays.npz`; returns the logits of validation and test, none if it diverged."""
    options = [str(folder), *(str(one) for one in (epochs, recipe.rate, seed, BATCH, recipe.smoothing, SHIFT))]
    subprocess.run([python, "-m", "benchmarks.timm_multi_label", *options], check=True)
    with np.load(folder / "logits.npz") as found:
        return dict(found)


def main() -> int:
    """Trains both with each seed, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multi_label", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="images with one label each, as in ingest.source")
    parser.add_argument("--size", type=int, default=64, help="height and width of the grids in pixels")
    parser.add_argument("--images", type=int, default=2000, help="grids for training")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="learning rates to choose from")
    parser.add_argument("--peer", help="a Python that has timm; by default only this project is measured")
    parser.add_argument("--json", type=Path, required=True, help="all figures")
    given = parser.parse_args()
    if not given.json.parent.is_dir():
        parser.error(f"there is no folder {given.json.parent} for the file of --json")
    arrays, classes = make_arrays(given.source, given.size, given.images)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
        learn: dict[str, Learn] = {"ours": lambda recipe, seed: ours(arrays, given.epochs, recipe, seed)}
        if given.peer:
            learn["timm"] = lambda recipe, seed: peer(given.peer, folder, given.epochs, recipe, seed)
        rows: list[dict[str, Any]] = []
        facts = {"source": Path(given.source).name, "classes": len(classes), "epochs": given.epochs, "size": given.size}
        facts |= {"images": {name: len(arrays[name]) for name in SPLITS}, "rows": rows}
        for name, train in learn.items():
            tried = {}
            for recipe in itertools.starmap(Recipe, itertools.product(given.rates, SMOOTHINGS)):
                tried[recipe] = _figures(arrays, train, recipe, given.seeds[0])
                print(name, *recipe, tried[recipe], flush=True)
            best = max(tried, key=lambda recipe: tried[recipe]["validation"])
            for seed in given.seeds:
                figures = tried[best] if seed == given.seeds[0] else _figures(arrays, train, best, seed)
                rows.append({"contender": name, **best._asdict(), "seed": seed, **figures})
                print(rows[-1], flush=True)
                given.json.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(table(rows))
    return 0


def _figures(arrays: Arrays, learn: Learn, recipe: Recipe, seed: int) -> dict[str, float]:
    """Validation and test figures of one training; zeros if it diverged."""
    logits = learn(recipe, seed)
    if not logits:
        return dict.fromkeys(SPLITS[1:], 0.0)
    return {name: mean_average_precision(arrays[f"{name}_truth"], logits[name]) for name in SPLITS[1:]}


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each contender: its recipe, and the mean average precision of the test split over the seeds."""
    lines = ["| | learning rate | label smoothing | mean average precision, % | difference, points |", "|---|---|---|---|---|"]
    tests = {name: [100 * row["test"] for row in rows if row["contender"] == name] for name in ("ours", "timm")}
    for name, values in tests.items():
        if values:
            rate, smoothing = next((row["rate"], row["smoothing"]) for row in rows if row["contender"] == name)
            moved = ""
            if name == "timm":
                by_seed = (one - other for one, other in zip(tests["ours"], values, strict=True))
                moved = f"ours {mean_in_words(by_seed, sign='+')}"
            lines.append(f"| {name} | {rate:g} | {smoothing:g} | {mean_in_words(values)} | {moved} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
