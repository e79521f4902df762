"""Draws the results of the other stages: curves, confusion matrix and samples, and the pages that show everything."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from resnet.core.checksums import md5
from resnet.core.files import replacing
from resnet.core.learning_rates import suitable_rate
from resnet.core.words import counted
from tasks.report.croissant import write_croissant
from tasks.report.data import PreparedTables, RawTables, read_data, write_data_page
from tasks.report.last_run import describe_last_run
from tasks.report.measured import Measured
from tasks.report.model_card import write_model_card
from tasks.report.origin import describe_origin
from tasks.stage.command import main
from tasks.stage.params import Params, Section

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from resnet.pictures.report import Results


class Render(Section):
    """Parameters of the stage `render`."""

    dpi: int = Field(ge=30, le=600, description="resolution of the pictures in dots per inch")
    license: str | None = Field(
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        description="licence of the model as Hugging Face writes it, such as apache-2.0; null: the card asks for it",
    )
    data_name: str | None = Field(
        min_length=1, description="name of the data set, or user/name if it is on Hugging Face; null: the name of the source"
    )
    data_license: str | None = Field(min_length=1, description="licence of the data, best as a URL; null: unknown")
    data_citation: str | None = Field(min_length=1, description="how to cite the data; null: unknown")


@dataclass(frozen=True)
class Pictures:
    """The pictures as separate files, which `dvc plots` and Prefect show."""

    loss_png: Path
    accuracy_png: Path
    confusion_matrix_png: Path
    samples_png: Path


@dataclass(frozen=True)
class Pages:
    """The pages for a browser or an editor."""

    index_html: Path
    data_html: Path
    model_card_md: Path


def render(
    params: Render,
    *,
    parameters: Params,
    raw: RawTables,
    prepared: PreparedTables,
    measured: Measured,
    pictures: Pictures,
    pages: Pages,
    croissant_json: Path,
) -> None:
    """Writes the pictures and pages, and the description of the data."""
    from resnet.pictures.data_report import summarise_data
    from resnet.pictures.data_warnings import constant_answer
    from resnet.pictures.report import Results, render_report

    data = read_data(raw, prepared)
    found, summary = measured.read(len(data.classes)), summarise_data(data)
    of_answers = constant_answer(found["metrics"], _constant_answers(found))
    results = Results(
        classes=data.classes,
        **found,
        data={**summary, "warnings": [*of_answers, *summary["warnings"]]},
        parameters=_shown(parameters),
        hashes={f"{path.parent.name}/{path.name}": md5(path) for path in (raw.manifest_csv, prepared.index_csv)},
    )
    _draw(results, params.dpi, pictures)
    with replacing(pages.index_html) as partial:
        partial.write_text(render_report(results), encoding="utf-8")
    write_data_page(data, pages.data_html)
    origin = describe_origin(
        parameters.value("ingest.source", str),
        name=params.data_name,
        license=params.data_license,
        citation=params.data_citation,
    )
    imagenet = parameters.value("build.weights", str) == "builtin/imagenet"
    write_model_card(pages.model_card_md, results, data, origin=origin, license=params.license, imagenet=imagenet)
    write_croissant(croissant_json, raw.raw, data.classes, data.manifest, origin)
    print(f"render: {pages.index_html} shows the results, {pages.data_html} the data")
    if run := describe_last_run():
        print(f"render: last runs: {run}")


def _shown(parameters: Params) -> dict[str, dict[str, object]]:
    """The parameters that decide the results, by section."""
    sections = {name: section.model_dump() for name, section in parameters.sections.items() if name != "render"}
    train = sections.get("train", {})
    if train.get("learning_rate") == "auto":
        train["learning_rate"] = f"auto: {suitable_rate(train['optimizer'], train['batch_size']):.4g}"
    return {"": {"seed": parameters.seed}} | sections


def _constant_answers(found: Mapping[str, Any]) -> "pd.DataFrame":
    """What a network could always answer: label, and the number of images for which it is right, support."""
    import pandas as pd

    from resnet.pictures.data_labels import are_sets, set_in_words

    if not are_sets(found["details"]["network"]):
        table: pd.DataFrame = found["per_class"]
        return table
    sizes = found["predictions"]["label"].value_counts().sort_index()  # of equals, the first by name is the answer
    return pd.DataFrame({"label": [set_in_words(str(text)) for text in sizes.index], "support": sizes.to_numpy()})


def _draw(results: "Results", dpi: int, pictures: Pictures) -> None:
    """Writes the pictures as separate files."""
    from resnet.pictures.confusion import count_confusions, draw_confusion
    from resnet.pictures.curves import draw_curves
    from resnet.pictures.data_labels import are_sets, set_in_words
    from resnet.pictures.grid import draw_grid
    from resnet.pictures.label_sets import count_pairs
    from resnet.pictures.report_of_sets import draw_matrix

    labels, predicted = results.predictions["label"].tolist(), results.predictions["predicted"].tolist()
    rows = results.samples.rows
    several = are_sets(results.details["network"])
    name = set_in_words if several else str
    of_samples = [labels[row] for row in rows], [predicted[row] for row in rows]
    mistakes = sum(label != guess for label, guess in zip(*of_samples, strict=True))
    in_all = sum(label != guess for label, guess in zip(labels, predicted, strict=True))
    title = f"{mistakes} of {counted(in_all, 'mistake')}, then {len(rows) - mistakes} of {counted(len(labels) - in_all, 'hit')}"
    loss = "binary cross-entropy, nats" if several else "cross-entropy, nats"
    accuracy = "share of images, exact match at 0.5" if several else "share of images"
    _save(draw_curves(results.history, "loss", loss), pictures.loss_png, dpi)
    _save(draw_curves(results.history, "accuracy", accuracy), pictures.accuracy_png, dpi)
    matrix = (
        draw_matrix(count_pairs(labels, predicted, results.classes), results.classes)
        if several
        else draw_confusion(count_confusions(labels, predicted, results.classes), results.classes)
    )
    _save(matrix, pictures.confusion_matrix_png, dpi)
    names, guesses = ([name(text) for text in texts] for texts in of_samples)
    _save(draw_grid(results.samples.images, names, guesses, title), pictures.samples_png, dpi)


def _save(figure: "Figure", path: Path, dpi: int) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi)


if __name__ == "__main__":
    sys.exit(main("render"))
