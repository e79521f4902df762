"""The effect of each part of the training recipe: test accuracy with one part changed at a time.

    python -m benchmarks.recipes run digits --equal-time --json digits.json # or mnist, or a folder of class folders
    python -m benchmarks.recipes transfer ../photos --json photos.json # random weights, and those of the other classes
    python -m benchmarks.recipes photographs ../photos --minutes 5 --json photos.json # see benchmarks/photographs.py
    python -m benchmarks.recipes table *.json

The network of `run` and `transfer` is ResNet-18 at 32 pixels. A row changes the named parameters; all others are those of
params.yaml. All rows use the same seeds, so differences are taken seed by seed. All train for the same number of epochs or,
with --equal-time, for the same processor time. Images are decoded by the stages' own code.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.photographs import photographs
from benchmarks.recipe_data import open_data
from benchmarks.recipe_parts import BASE, PARTS, photograph_parts
from resnet.core.errors import UserError
from resnet.dataset.arrays import Split


def prepare(
    splits: Sequence[Split], classes: list[str], changes: dict[str, Any], *, epochs: int, seed: int, width: int, weights: str
) -> tuple[Any, Callable[[int], Any]]:
    """Makes a network, and a function that trains it up to a number of epochs and returns its `Trainer`.

    Args:
        splits: training, validation, test.
        classes: their names.
        changes: parameters of `train` and `build` by name.
        epochs: of the learning-rate schedule.
        seed: of weights, order and augmentation.
        width: channels of the stem.
        weights: the initial weights, as in build.weights.
    """
    import keras

    from resnet.network.model import ResNet
    from resnet.network.precision import choose_precision, dtype_policy
    from resnet.pretrained import initialise
    from resnet.training.recipe import make_trainer

    params = train_parameters({"epochs": epochs} | _section("train", changes))
    keras.utils.set_random_seed(seed)
    precision = choose_precision("auto")
    with dtype_policy(precision):
        model = ResNet(
            splits[0].image_shape, len(classes), depth=18, width=width, class_names=classes, **_section("build", changes)
        )
    initialise(model, weights)
    trainer = make_trainer(params.recipe(), model, len(splits[0]) // params.batch_size, precision, splits[0].labels)

    def fit(until: int) -> Any:
        trainer.fit(splits[0], splits[1], epochs=until, batch_size=params.batch_size, seed=seed)
        return trainer

    return model, fit


def train_parameters(changes: Mapping[str, Any]) -> Any:
    """The parameters of `train` in params.yaml, with some of them changed."""
    from tasks.stage.graph import DVC_YAML, read_graph
    from tasks.stage.params import PARAMS_YAML, load_params
    from tasks.train import Train

    return Train(**(load_params(PARAMS_YAML, read_graph(DVC_YAML)).section(Train).model_dump() | dict(changes)))


def _section(stage: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name.partition(".")[2]: value for name, value in changes.items() if name.startswith(f"{stage}.")}


def train(splits: Sequence[Split], classes: list[str], changes: dict[str, Any], **options: Any) -> tuple[Any, dict[str, float]]:
    """Trains a network and evaluates it; returns the network and its figures. The arguments are those of `prepare`."""
    from resnet.network.folding import folded_network
    from resnet.network.inference import predict_logits

    model, fit = prepare(splits, classes, changes, **options)
    began = time.process_time()
    trainer = fit(options["epochs"])
    seconds = time.process_time() - began
    hits = predict_logits(folded_network(model), splits[2], 256).argmax(axis=1) == splits[2].labels
    return model, {"accuracy": float(hits.mean()), "processor_seconds": seconds, "epochs": len(trainer.state.history)}


def epoch_seconds(splits: Sequence[Split], classes: list[str], changes: dict[str, Any], *, width: int) -> float:
    """Returns the processor time of an epoch, the mean over the sizes of its schedule.

    At each size it is the lower of the second and the third epoch, because the first includes tracing.
    """
    found = []
    schedule = changes.get("train.size_schedule")
    for one in [changes | {"train.size_schedule": [size]} for size in schedule] if schedule else [changes]:
        _, fit = prepare(splits, classes, one, epochs=3, seed=0, width=width, weights="builtin/random")
        times = []
        for epoch in (1, 2, 3):
            began = time.process_time()
            fit(epoch)
            times.append(time.process_time() - began)
        found.append(min(times[1:]))
    return sum(found) / len(found)


def epochs_of(parts: Iterable[str], epochs: int, seconds: Callable[[str], float]) -> dict[str, int]:
    """Returns the number of epochs of each part that takes as long as the unchanged recipe; rounded, at least 1.

    Args:
        parts: names from `PARTS`.
        epochs: of the unchanged recipe.
        seconds: returns the time of an epoch with a part.
    """
    base = seconds(BASE)
    return {part: epochs if part == BASE else max(1, round(epochs * base / seconds(part))) for part in parts}


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Trains and evaluates each part with each seed; returns a row for each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        splits, classes = open_data(arguments.data, Path(folder), one_in=arguments.one_in)
        parts = arguments.parts or list(PARTS)
        epochs = dict.fromkeys(parts, arguments.epochs)
        if arguments.equal_time:
            epochs = epochs_of(
                parts, arguments.epochs, lambda part: epoch_seconds(splits, classes, PARTS[part], width=arguments.width)
            )
        for seed in arguments.seeds:
            for part in parts:
                _, figures = train(
                    splits,
                    classes,
                    PARTS[part],
                    epochs=epochs[part],
                    seed=seed,
                    width=arguments.width,
                    weights="builtin/random",
                )
                rows.append({"part": part, "seed": seed, **figures})
                print(rows[-1], flush=True)
                _write(arguments, rows, splits)
    return rows


def transfer(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Compares random first weights with those of a network that was trained on other data or the other half of the classes."""
    from resnet.network.saving import save_model

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        wanted: list[tuple[str, int | None]] = [(arguments.data, 0), (arguments.data, 1)]
        if arguments.source:
            wanted = [(arguments.source, None), (arguments.data, None)]
        first, second = (open_data(name, Path(folder) / str(place), half) for place, (name, half) in enumerate(wanted))
        for seed in arguments.seeds:
            path = Path(folder) / "first.keras"
            options: dict[str, Any] = {"seed": seed, "width": arguments.width}
            model, _ = train(*first, {}, epochs=arguments.first_epochs, weights="builtin/random", **options)
            save_model(model, path)
            for part, weights, changes in (
                ("random weights", "builtin/random", {}),
                (f"weights of {arguments.source or 'the other half'}", str(path), {}),
                ("the same, head alone for 2 epochs", str(path), {"train.freeze_epochs": 2, "train.unfrozen_rate": 0.5}),
            ):
                _, figures = train(*second, changes, epochs=arguments.epochs, weights=weights, **options)
                rows.append({"part": part, "seed": seed, **figures})
                print(rows[-1], flush=True)
                _write(arguments, rows, second[0])
    return rows


def _write(arguments: argparse.Namespace, rows: list[dict[str, Any]], splits: Sequence[Split]) -> None:
    if arguments.json:
        sizes = dict(zip(("training", "validation", "test"), map(len, splits), strict=True))
        facts = {"data": Path(arguments.data).name, "images": sizes, "epochs": arguments.epochs, "width": arguments.width}
        arguments.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", "utf-8")


def mean_in_words(values: Iterable[float], decimals: int = 1, sign: str = "") -> str:
    """The mean and half the width of its 95 % confidence interval by Student's t, as `45.2 ± 1.9`; of one value only itself.

    Args:
        values: at least one.
        decimals: of both numbers.
        sign: `+` writes the sign of a positive mean, too.
    """
    from scipy import stats

    numbers: npt.NDArray[np.float64] = np.array(list(values))
    mean = f"{numbers.mean():{sign}.{decimals}f}"
    if len(numbers) < 2:
        return mean
    half = stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / len(numbers) ** 0.5
    return f"{mean} ± {half:.{decimals}f}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Formats a line for each part: epochs, mean accuracy, mean difference from the first part, ratio of time.

    Seeds with which the first part has not run are left out.
    """
    parts = list(dict.fromkeys(row["part"] for row in rows))
    found = {(row["part"], row["seed"]): row for row in rows}
    cost = "processor_seconds" if rows and "processor_seconds" in rows[0] else "seconds"
    title = {"processor_seconds": "processor time", "seconds": "time of training"}[cost]
    lines = [f"| | epochs | test accuracy, % | difference, points | {title} |", "|---|---|---|---|---|"]
    for part in parts:
        own = [row for row in rows if row["part"] == part and (parts[0], row["seed"]) in found]
        pairs = [(row, found[parts[0], row["seed"]]) for row in own]
        if not pairs:
            continue
        mean = mean_in_words(100 * one["accuracy"] for one, _ in pairs)
        moved = mean_in_words((100 * (one["accuracy"] - base["accuracy"]) for one, base in pairs), sign="+")
        ratio = np.median([one[cost] / base[cost] for one, base in pairs])
        difference = "" if part == parts[0] else moved
        lines.append(f"| {part} | {pairs[0][0]['epochs']} | {mean} | {difference} | {ratio:.2f} |")
    return "\n".join(lines)


def _merged(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Merges the rows of files that have the same data and settings."""
    merged: dict[str, dict[str, Any]] = {}
    for path in paths:
        found = json.loads(path.read_text("utf-8"))
        key = ", ".join(f"{name} {value}" for name, value in found.items() if name not in ("rows", "epochs_of"))
        merged.setdefault(key, {"rows": []})["rows"] += found["rows"]
    return merged


def _add_photographs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="a source as in ingest.source")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=5.0, help="time of training, the same for every row")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=int, default=64, help="channels of the stem")
    parser.add_argument("--stem", default="large")
    parser.add_argument("--image-size", type=int, default=96, help="in pixels")
    parser.add_argument("--parts", nargs="+", choices=list(photograph_parts(96)), metavar="ROW", help="by default all rows")
    parser.add_argument("--work", type=Path, default=Path(".dvc/tmp/recipes"), help="folder for data and networks; it is kept")
    parser.add_argument("--json", type=Path, required=True, help="all figures; an existing file goes on")


def main() -> int:
    """Runs the benchmark or prints its table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("run", "transfer"):
        one = kinds.add_parser(kind)
        one.add_argument("data", help="digits, mnist, or a folder of class folders")
        one.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        one.add_argument("--epochs", type=int, default=10)
        one.add_argument("--width", type=int, default=32, help="channels of the stem")
        one.add_argument("--json", type=Path, help="write all figures to this file")
    kinds.choices["run"].add_argument("--parts", nargs="+", choices=list(PARTS))
    kinds.choices["run"].add_argument(
        "--one-in", type=int, default=1, help="n keeps every n-th image of the second half of the classes"
    )
    kinds.choices["run"].add_argument(
        "--equal-time", action="store_true", help="same processor time, not same number of epochs"
    )
    kinds.choices["transfer"].add_argument("--first-epochs", type=int, default=20, help="epochs of the first network")
    kinds.choices["transfer"].add_argument("--source", help="data of the first network, instead of half of the classes")
    _add_photographs(kinds.add_parser("photographs"))
    kinds.add_parser("table").add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.kind == "table":
        for title, found in _merged(arguments.files).items():
            print(f"{title}\n\n{table(found['rows'])}\n")
        return 0
    from resnet.network.huge_pages import use_huge_pages

    use_huge_pages()
    if arguments.kind == "photographs":
        try:
            print(table(photographs(arguments)))
        except UserError as error:
            print(f"benchmarks.recipes: {error}", file=sys.stderr)
            return 1
        return 0
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    print(table((run if arguments.kind == "run" else transfer)(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
