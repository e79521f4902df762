"""Print what the trained network sees in image files.

Each image is a line on standard output: its path, then class and probability, the most probable class first. A file that is
not a usable image is named on standard error with the reason. The other files are still predicted, and the exit code is 1.

A model for several labels an image names the labels: the classes whose probabilities are at least their thresholds. With --top
it names that many classes, and marks the labels with *. An image without a label is `none of the classes`.

With --model FILE it works in any folder. In a script, the exit code is 0 if every file was predicted, 1 if one was not or there
is no model, and 2 for a mistake in the options.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from commands.label_set_lines import label_set_writer
from commands.prediction_lines import one_line, writer
from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted
from resnet.images.outcomes import Rejected
from resnet.network.archive import ModelFacts, ModelFile, model_facts, named_by_user, read_model
from resnet.prediction.engines import Choice, choose_engine
from resnet.prediction.image_files import Archive, ImageFile, find_images, open_archives
from tasks.stage.graph import DVC_YAML, project_paths

if TYPE_CHECKING:
    from resnet.prediction.prediction import Logits, Network, Pixels

AHEAD = 16  # batches that are decoded while the network is loaded
_MEMORY = "/dev/shm"  # a file system in memory, which Linux always has
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Engine = Literal["auto", "tensorflow", "openvino"]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Image files, folders with their subfolders, .zip and .tar archives, patterns, or - for an image on standard "
            "input.",
        ),
    ],
    *,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            show_default="1; with several labels an image, its labels",
            help="How many classes to name.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="A .keras file that this project wrote, instead of its model."
        ),
    ] = None,
    precision: Annotated[Precision, typer.Option(help="The number format to compute in.")] = "auto",
    engine: Annotated[Engine, typer.Option(help="What computes; auto takes OpenVINO if it is installed and fits.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Images at a time.")] = 32,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Answer `none of these` for an image far from the training images.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> int:
    """Prints the predictions.

    Returns:
        1 if a file could not be used, otherwise 0.

    Raises:
        UserError: there is no model, or it cannot be read.
        typer.BadParameter: two output formats are asked for.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    from tqdm import tqdm

    from resnet.prediction.prediction import decode_files, in_batches, reading_ahead
    from resnet.prediction.prediction import predict as predict_batches

    path = model or _project_model()
    files, bad = _find(paths)
    if not files:
        return 1
    good = 0
    chosen = choose_engine(engine, precision)
    with named_by_user(model):
        file = read_model(path)
        facts = model_facts(path, file)
    if unknown:
        _require_known_score(path, file, facts)
    # From here on files are decoded, while this thread loads the network.
    ahead = reading_ahead(in_batches(decode_files(open_archives(files), facts.image_shape[0]), batch), AHEAD)
    count = None if any(isinstance(one, Archive) for one in files) else len(files)
    with ahead as batches, tqdm(total=count, unit="image", desc="predict", leave=False, disable=None) as bar:
        with named_by_user(model):
            network = load_network(path, file, facts, chosen, unknown=unknown)
        del file  # as large as the network
        bar.unpause()
        form = "csv" if as_csv else "json" if as_json else "text"
        if facts.thresholds is None:
            write = writer(form, facts.class_names, min(top or 1, len(facts.class_names)), unknown=unknown)
        else:
            write = label_set_writer(form, facts.class_names, facts.thresholds, top)
        for one in predict_batches(network, batches, multi_label=facts.thresholds is not None):
            with bar.external_write_mode(file=sys.stdout):
                if isinstance(one, Rejected):
                    bad += _reject(one)
                else:
                    write(one)
                    good += 1
            bar.update()
    if bad:
        found = f"{bad:,} of {counted(bad + good, 'file')} {agreeing(bad, 'was', 'were')} not predicted"
        print(f"predict: {found}, for the {agreeing(bad, 'reason', 'reasons')} above", file=sys.stderr)
    return 1 if bad else 0


def _find(paths: list[str]) -> tuple[list[ImageFile | Archive], int]:
    """The files and archives for these paths, and the number of those that cannot be used, which it names."""
    found = list(find_images(paths))
    bad = sum(_reject(one) for one in found if isinstance(one, Rejected))
    return [one for one in found if not isinstance(one, Rejected)], bad


def _reject(one: Rejected) -> int:
    """Names a file that is not predicted; returns 1, to count it."""
    print(f"predict: {one_line(one.path)}: {one.detail} ({one.reason})", file=sys.stderr)
    return 1


def _project_model() -> Path:
    if not DVC_YAML.exists():
        raise UserError(
            f"there is no {DVC_YAML} in {Path.cwd()}, so there is no project's model: name a model with --model FILE, or run "
            "this in a project's folder."
        )
    return project_paths()["resnet_keras"]


def _require_known_score(path: Path, file: ModelFile, facts: ModelFacts) -> None:
    if facts.thresholds is not None:
        raise UserError(
            f"--unknown is for models that give one label to each image, but {path} gives any number of labels, and none "
            "to an image that shows none of the classes: leave out --unknown."
        )
    if file.known_score is None:
        raise UserError(
            f"--unknown needs a model with a known score, but {path} has none: train again with at least 19 validation images "
            "(raise preprocess.validation_share, or add images) and several training images of a class, or leave out --unknown."
        )


def load_network(path: Path, file: ModelFile, facts: ModelFacts, choice: Choice, *, unknown: bool = False) -> "Network":
    """Loads the network of a `.keras` file into an engine, with batch normalisation folded into the convolutions.

    Prints the engine and the precision on standard error. With `unknown` the network also returns known scores.

    Raises:
        UserError: the file cannot be read.
    """
    print(f"engine: {choice.engine}, {choice.reason}", file=sys.stderr)
    if choice.engine == "openvino":
        from resnet.openvino import engine

        print(f"precision: {choice.precision}, {choice.why_precision}", file=sys.stderr)
        load = engine.load_network_with_known_score if unknown else engine.load_network
        return load(path, file, choice.precision)
    from resnet.network.precision import choose_precision
    from resnet.network.startup import start_tensorflow

    _set_temporary_folder()
    start_tensorflow()
    from resnet.network.folding import folded_network, folded_network_with_features
    from resnet.network.saving import load_model

    with contextlib.redirect_stdout(sys.stderr):
        chosen = choose_precision(choice.precision, "--precision")
    model = load_model(path, facts.class_names, facts.image_shape)
    if not unknown or model.known_score is None:
        return folded_network(model, chosen)
    both, score = folded_network_with_features(model, chosen), model.known_score

    def network(images: "Pixels") -> "tuple[Logits, Logits]":
        logits, features = both(images)
        return logits, score(features)

    return network


def _set_temporary_folder() -> None:
    """TensorFlow asks for a temporary folder when it is imported, and a container with a read-only root may have none."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = _MEMORY
