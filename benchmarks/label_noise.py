"""How many wrong labels an audit finds, and what finding them is worth: a known share of the labels is flipped.

    python -m benchmarks.label_noise digits --json digits.json       # or a folder, an archive, ...: whatever ingest reads
    python -m benchmarks.label_noise table *.json

A fifth of the images, with clean labels, is the test split. Of the others, 5 % get another class at random. An audit ranks them
by predictions of networks that were not trained on them. Of the first n, where n is the number of flips, those that are wrong
get their right label, as from a person who makes no mistake. Three networks of the same seed then learn from the noisy, the
corrected and the clean labels. All are ResNet-18 with the recipe of params.yaml but for --epochs and --set.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.recipes import mean_in_words, prepare
from flows.overrides import parse
from resnet.audit.ranking import rank
from resnet.dataset.arrays import Split, SplitWriter
from resnet.preparation.folds import Fold, assign_fold
from resnet.preparation.splits import TEST, Shares, assign_splits

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2  # as in params.yaml

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint16]
# Trains on some images and predicts others: (images, labels, splits, seed) to the probabilities of the test split.
Learn = Callable[[Pixels, Labels, npt.NDArray[np.int8], int], npt.NDArray[np.float32]]


def read_images(name: str, size: int) -> tuple[Pixels, Labels, list[str]]:
    """The images of a source, once each: (images, size, size, 3) uint8, their labels, and the names of the classes."""
    from resnet.images.decoding import load
    from resnet.images.outcomes import Candidate
    from resnet.ingestion.sources.catalog import open_source

    path = "builtin/digits" if name == "digits" else name
    source = open_source(path, class_level=None, path_column="auto", label_column="auto", image_folder="auto")
    found: dict[bytes, tuple[Pixels, int]] = {}
    for file in source.files():
        if isinstance(file, Candidate):
            pixels = load(file.read(), size)
            found.setdefault(pixels.tobytes(), (pixels, source.classes.index(file.label)))
    images, labels = zip(*found.values(), strict=True)
    return np.stack(images), np.array(labels, np.uint16), source.classes


def hashes(images: Pixels) -> npt.NDArray[np.uint8]:
    """(images, 32) uint8, equal for equal pixels."""
    import hashlib

    return np.frombuffer(b"".join(hashlib.sha256(image.tobytes()).digest() for image in images), np.uint8).reshape(-1, 32)


def flipped(labels: Labels, classes: int, share: float, seed: int) -> Labels:
    """The labels with a share of them changed to another class, each other class as probable as the next."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(labels), round(share * len(labels)), replace=False)
    noisy = labels.copy()
    noisy[rows] = (labels[rows] + generator.integers(1, classes, len(rows))) % classes
    return noisy


def out_of_fold(
    images: Pixels, labels: Labels, classes: list[str], *, folds: int, seed: int, learn: Learn
) -> npt.NDArray[np.float32]:
    """The probabilities of each image by the network that was not trained on it, (images, classes) float32."""
    probabilities = np.full((len(labels), len(classes)), np.nan, np.float32)
    for number in range(1, folds + 1):
        splits = assign_fold(labels, hashes(images), classes, Fold(number, folds), validation_share=VALIDATION_SHARE, seed=0)
        probabilities[splits == TEST] = learn(images, labels, splits, seed)
    assert np.isfinite(probabilities).all()
    return probabilities


def measure(
    images: Pixels, labels: Labels, classes: list[str], arguments: argparse.Namespace, *, seed: int, learn: Learn
) -> Any:
    """The figures of one seed: of the audit, and the accuracy on clean test images with each kind of labels."""
    shares = Shares(VALIDATION_SHARE, TEST_SHARE)
    splits = assign_splits(labels, hashes(images), classes, shares, seed=0)
    rows = np.flatnonzero(splits != TEST)
    clean = labels[rows]
    noisy = flipped(clean, len(classes), arguments.noise, seed)
    wrong = noisy != clean
    probabilities = out_of_fold(images[rows], noisy, classes, folds=arguments.folds, seed=seed, learn=learn)
    ranking = rank(noisy, probabilities)
    first, suspects = ranking.order[: wrong.sum()], ranking.order[: ranking.suspects]
    corrected = noisy.copy()
    corrected[first] = clean[first]
    right = {}
    for kind, of_rows in (("noisy", noisy), ("corrected", corrected), ("clean", clean)):
        known = labels.copy()
        known[rows] = of_rows
        right[kind] = float((learn(images, known, splits, seed).argmax(axis=1) == labels[splits == TEST]).mean())
    return {
        "seed": seed,
        "images": len(rows),
        "flips": int(wrong.sum()),
        "out_of_fold_accuracy": float((probabilities.argmax(axis=1) == clean).mean()),
        "among_first": float(wrong[first].mean()),
        "suspects": len(suspects),
        "suspects_wrong": int(wrong[suspects].sum()),
        "suggested_right": float((ranking.suggested == clean)[first][wrong[first]].mean()),
        **right,
    }


def learner(classes: list[str], arguments: argparse.Namespace) -> Learn:
    """Trains the network of `benchmarks.recipes`."""

    def learn(images: Pixels, labels: Labels, splits: npt.NDArray[np.int8], seed: int) -> npt.NDArray[np.float32]:
        from scipy.special import softmax

        from resnet.network.folding import folded_network
        from resnet.network.inference import predict_logits

        with tempfile.TemporaryDirectory() as folder:
            parts = [_write(Path(folder) / str(part), images, labels, splits == part, len(classes)) for part in range(3)]
            options: dict[str, Any] = {"epochs": arguments.epochs, "seed": seed, "width": arguments.width}
            model, fit = prepare(parts, classes, parse(arguments.set), weights="builtin/random", **options)
            fit(arguments.epochs)
            probabilities: npt.NDArray[np.float32] = softmax(predict_logits(folded_network(model), parts[2], 256), axis=1)
        return probabilities

    return learn


def _write(folder: Path, images: Pixels, labels: Labels, chosen: npt.NDArray[np.bool_], classes: int) -> Split:
    with SplitWriter(folder, int(chosen.sum()), images.shape[1]) as writer:
        for row in np.flatnonzero(chosen).tolist():
            writer.add(images[row], int(labels[row]))
    return Split(folder, classes)


def table(found: Sequence[dict[str, Any]]) -> str:
    """A line for each data set, with means over the seeds."""
    lines = [
        "| data | images, flips | seeds | accuracy out of fold | wrong among the first n | suspects: precision, recall | "
        "noisy | corrected | clean | of the loss regained |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        rows = one["rows"]
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        hits, marked, flips = (sum(row[key] for row in rows) for key in ("suspects_wrong", "suspects", "flips"))
        lost = mean["clean"] - mean["noisy"]
        regained = f"{(mean['corrected'] - mean['noisy']) / lost:.2f}" if lost > 0 else "nothing was lost"
        cells = [
            f"{one['data']}, {one['epochs']} epochs",
            f"{rows[0]['images']:,}, {rows[0]['flips']}",
            f"{len(rows)}",
            f"{100 * mean['out_of_fold_accuracy']:.1f} %",
            mean_in_words((row["among_first"] for row in rows), decimals=2),
            f"{hits / max(marked, 1):.2f}, {hits / flips:.2f}",
            *(f"{100 * mean[kind]:.2f} %" for kind in ("noisy", "corrected", "clean")),
            regained,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs the benchmark or prints its table; returns the exit code."""
    if sys.argv[1:2] == ["table"]:
        print(table([json.loads(Path(name).read_text("utf-8")) for name in sys.argv[2:]]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_noise", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="digits, or a source as in ingest.source; table prints the figures of files")
    parser.add_argument("--noise", type=float, default=0.05, help="share of the labels that are flipped")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--width", type=int, default=32, help="channels of the stem")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of train, or build.NAME=VALUE")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    from resnet.network.huge_pages import use_huge_pages
    from resnet.network.startup import start_tensorflow

    use_huge_pages()
    start_tensorflow()
    images, labels, classes = read_images(arguments.data, arguments.size)
    kept = {key: value for key, value in vars(arguments).items() if key not in ("json", "data", "seeds")}
    found = {"data": Path(arguments.data).name, **kept, "rows": []}
    for seed in arguments.seeds:
        found["rows"].append(measure(images, labels, classes, arguments, seed=seed, learn=learner(classes, arguments)))
        print(found["rows"][-1], flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table([found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
