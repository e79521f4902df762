"""Puts the folds of an audit together: the predictions of all images, and the page and the table of the suspects."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.results import RevisionResults, flat
from resnet.audit.suspects import keep_other_images, list_suspects, with_earlier_decisions, write_suspects
from resnet.core.classes import read_label_sets
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.core.words import agreeing, counted
from resnet.ingestion.decisions import read_decisions
from tasks.stage.graph import project_paths
from tasks.stage.params import PARAMS_YAML
from tasks.training.changes import parameters

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from resnet.audit.page import Audit


@dataclass(frozen=True)
class OutOfFold:
    """The predictions of all images, each by the network that was not trained on it.

    Attributes:
        paths: the name of each image.
        pixel_hashes: of each image.
        labels: (images,) uint16, indices into `classes`.
        probabilities: (images, classes) float32.
        fold: (images,) int64, the fold that each image is in, from 0.
        classes: the names of the classes.
    """

    paths: list[str]
    pixel_hashes: list[str]
    labels: "npt.NDArray[np.uint16]"
    probabilities: "npt.NDArray[np.float32]"
    fold: "npt.NDArray[np.int64]"
    classes: list[str]


def collect(folds: Sequence[RevisionResults]) -> OutOfFold:
    """Puts the predictions of all folds together.

    Args:
        folds: the results of each fold, in their order.

    Raises:
        UserError: the folds are not those of the same images, these have several labels each, or a part of their results is not
            available.
    """
    import numpy as np

    if folds[0].of_sets:
        raise _several_error()
    paths = [path for run in folds for path in run.predictions]
    hashes = folds[0].pixel_hashes()
    if len({run.data for run in folds}) > 1 or sorted(paths) != sorted(hashes):
        raise UserError(
            f"the folds {', '.join(map(str, folds))} do not test each image of one source once, so they are not of one audit: "
            "run `python -m flows.audit` again."
        )
    classes = folds[0].classes
    numbers = {name: number for number, name in enumerate(classes)}
    return OutOfFold(
        paths=paths,
        pixel_hashes=[hashes[path] for path in paths],
        labels=np.array([numbers[found.label] for run in folds for found in run.predictions.values()], np.uint16),
        probabilities=np.concatenate([run.probabilities() for run in folds]),
        fold=np.repeat(np.arange(len(folds)), [len(run.predictions) for run in folds]),
        classes=classes,
    )


def audit_folder() -> Path:
    """Where the page and the table of an audit are."""
    return project_paths()["metrics_json"].parent / "audit"


def check_tables() -> None:
    """Raises `UserError` if the decisions, or those in the table of an earlier audit, cannot be read."""
    read_decisions(project_paths()["decisions_csv"])
    with_earlier_decisions([], audit_folder() / "suspects.csv", ())


def refuse_other_images(overrides: Mapping[str, Any]) -> None:
    """Raises `UserError` if `params.yaml` has another source of images than the last commit, whose images an audit takes.

    A `params.yaml` that is missing or cannot be read names no images: the audit does not need it.

    Args:
        overrides: parameters that differ from the commit, by dotted names.
    """
    from commands.advice.parameters import committed

    name = "ingest.source"
    text = PARAMS_YAML.read_text("utf-8") if PARAMS_YAML.exists() else ""
    present, last = parameters(text).get(name), committed(text).get(name)
    if present not in (None, last) and name not in flat(overrides):
        raise UserError(
            f"params.yaml says {name}: {present}, but the last commit, which an audit takes, says {last}: commit params.yaml, "
            "or add --include-changes."
        )


def refuse_several_labels(overrides: Mapping[str, Any]) -> None:
    """Raises `UserError` if images have several labels each, as far as that is known before `ingest` runs.

    Args:
        overrides: parameters that differ from `params.yaml`, by dotted names.
    """
    name, changes = "ingest.multi_label", flat(overrides)
    text = PARAMS_YAML.read_text("utf-8") if PARAMS_YAML.exists() else None
    wanted = changes.get(name, parameters(text).get(name, "auto"))
    classes = project_paths()["raw"] / "classes.json"
    is_of_these = classes.exists() and not any(one.startswith("ingest.") for one in changes)
    if wanted is True or (wanted == "auto" and is_of_these and read_label_sets(classes) is not None):
        raise _several_error()


def _several_error() -> UserError:
    return UserError(
        "the images have several labels each, but an audit needs one label for each image: look at the mistakes in "
        "reports/predictions.csv instead, or set ingest.multi_label to false if there is one."
    )


def write_audit(folds: Sequence[RevisionResults]) -> list[str]:
    """Writes the page and the table of the suspects.

    Args:
        folds: the results of each fold, in their order.

    Returns:
        Sentences on what was found and where it is.

    Raises:
        UserError: see `collect`; or the decisions or an earlier table cannot be read.
    """
    from resnet.audit.cross_validation import CrossValidation
    from resnet.audit.page import MOST_SHOWN, SIDE, Audit, render_audit
    from resnet.audit.ranking import rank

    found = collect(folds)
    folder = audit_folder()
    decided = read_decisions(project_paths()["decisions_csv"]).by_hash
    ranking = rank(found.labels, found.probabilities)
    suspects = list_suspects(ranking, found.labels.tolist(), found.paths, found.pixel_hashes, found.classes, decided=decided)
    images = set(found.pixel_hashes)
    aside = keep_other_images(folder / "suspects.csv", decided, images)
    suspects = with_earlier_decisions(suspects, folder / "suspects.csv", decided, images)
    accuracy = CrossValidation.of(found.probabilities.argmax(axis=1) == found.labels, found.fold)
    counts = Counter(found.labels.tolist())
    pictures = folds[0].encoded({one.path for one in suspects[:MOST_SHOWN]})
    audit = Audit(
        accuracy,
        suspects,
        {path: _thumbnail(encoded, SIDE) for path, encoded in pictures.items()},
        {name: counts[number] for number, name in enumerate(found.classes)},
        decided=sum(one in decided for one in images),
        source=str(folds[0].parameters.get("ingest.source", "")),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "index.html") as partial:
        partial.write_text(render_audit(audit), encoding="utf-8")
    write_suspects(folder / "suspects.csv", suspects)
    return list(_sentences(audit, folder, aside))


def _sentences(audit: "Audit", folder: Path, aside: tuple[int, Path] | None) -> Iterable[str]:
    yield audit.accuracy.sentence()
    images, suspects = sum(audit.accuracy.images), audit.count
    verb, them = agreeing(suspects, "is", "are"), agreeing(suspects, "it", "them")
    source = f" in {audit.source}" if audit.source else ""
    yield f"{counted(suspects, 'label')} of {images:,}{source} {verb} suspect: {folder / 'index.html'} shows {them}"
    if audit.is_doubtful:
        yield "the networks are too often wrong to judge labels, so most suspects are probably right: improve the recipe first"
    if aside:
        rows, copy = aside
        verb, them = agreeing(rows, "is", "are"), agreeing(rows, "it", "them")
        yield f"{counted(rows, 'row')} of the last table {verb} about other images: {copy} has {them}"
    if audit.suspects:
        yield f"write your decisions into {folder / 'suspects.csv'}, then run `train-resnet decide`"


def _thumbnail(encoded: bytes, side: int) -> bytes:
    from resnet.images.decoding import load_and_shrink

    _, small = load_and_shrink(encoded, 8, side)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
