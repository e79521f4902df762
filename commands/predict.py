"""Says what the trained network sees in image files: `train-resnet predict PATH...`.

A line for each image on standard output: its path, then class and probability, the most probable first. Files that are no
usable images are named on standard error, with the reason, and do not stop the rest; the exit code is then 1.
"""

import argparse
import contextlib
import csv
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from commands.arguments import count
from resnet.core.errors import UserError
from resnet.images.outcomes import Rejected, shown
from resnet.network.archive import ModelFacts, read_model_facts
from resnet.prediction.image_files import find_images
from tasks.stage.graph import project_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet.prediction.prediction import Network, Prediction

AHEAD = 16  # batches that are decoded while TensorFlow starts


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 if a file could not be used or after another mistake that the user can mend."""
    given = _parser().parse_args(arguments)
    try:
        return predict(given)
    except UserError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("predict: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of a reader such as `head`, that has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train-resnet predict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image files, folders with all below them, or patterns")
    parser.add_argument("--top", type=count, default=1, metavar="K", help="how many classes to name (1)")
    parser.add_argument("--model", type=Path, help="a .keras file of ours instead of the one that the pipeline made")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16", "float16"], default="auto", help="(auto)")
    parser.add_argument("--batch", type=count, default=32, metavar="N", help="images at a time (32)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", default="text", help="as CSV with a header")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="as JSON, an object a line")
    return parser


def predict(given: argparse.Namespace) -> int:
    """Prints the predictions; returns the exit code.

    Raises:
        UserError: there is no model, or no image.
    """
    from tqdm import tqdm

    from resnet.prediction.prediction import decode_files, in_batches, reading_ahead
    from resnet.prediction.prediction import predict as predict_batches

    path = given.model or project_paths()["resnet_keras"]
    facts = read_model_facts(path)
    files = list(find_images(given.paths))
    # Decoding is at work from here on, while this thread imports TensorFlow.
    ahead = reading_ahead(in_batches(decode_files(files, facts.image_shape[0]), given.batch), AHEAD)
    bad = 0
    with ahead as batches, tqdm(total=len(files), unit="image", desc="predict", leave=False, disable=None) as bar:
        network = load_network(path, facts, given.precision)
        bar.unpause()
        write = _writer(given.form, facts.class_names, min(given.top, len(facts.class_names)))
        for one in predict_batches(network, batches):
            with bar.external_write_mode(file=sys.stdout):
                if isinstance(one, Rejected):
                    print(f"predict: {_one_line(one.path)}: {one.detail} ({one.reason})", file=sys.stderr)
                    bad += 1
                else:
                    write(one)
            bar.update()
    sys.stdout.flush()
    return 1 if bad else 0


def load_network(path: Path, facts: ModelFacts, precision: str) -> "Network":
    """The folded network of a `.keras` file, and TensorFlow with it. Raises `UserError` for a file that cannot be read."""
    from resnet.network.precision import choose_precision
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    from resnet.evaluation.folding import folded_network
    from resnet.network.saving import load_model

    with contextlib.redirect_stdout(sys.stderr):
        chosen = choose_precision(precision)
    return folded_network(load_model(path, facts.class_names, facts.image_shape), chosen)


def _writer(form: str, classes: list[str], top: int) -> "Callable[[Prediction], object]":
    """What writes a prediction to standard output in one line."""
    if form == "csv":
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["path", *(f"{name}_{rank}" for rank in range(1, top + 1) for name in ("label", "probability"))])
        return lambda one: table.writerow(
            [shown(str(one.path)), *(value for label, share in _ranked(one, classes, top) for value in (label, f"{share:.6f}"))]
        )
    if form == "json":
        return lambda one: print(json.dumps({"path": shown(str(one.path)), "predictions": _objects(one, classes, top)}))
    return lambda one: print(
        _one_line(str(one.path)), *(f"{_one_line(label)} {share:.4f}" for label, share in _ranked(one, classes, top)), sep="\t"
    )


def _objects(one: "Prediction", classes: list[str], top: int) -> list[dict[str, str | float]]:
    return [{"label": label, "probability": round(share, 6)} for label, share in _ranked(one, classes, top)]


def _ranked(one: "Prediction", classes: list[str], top: int) -> list[tuple[str, float]]:
    """The most probable classes; of equal ones the first."""
    order = (-one.probabilities).argsort(kind="stable")[:top]
    return [(classes[number], float(one.probabilities[number])) for number in order]


def _one_line(name: str) -> str:
    """A name as a terminal can take it, with line ends and other control characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown(name))


if __name__ == "__main__":
    from resnet.network.huge_pages import use_huge_pages

    use_huge_pages()
    sys.exit(main())
