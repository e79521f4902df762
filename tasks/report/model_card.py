"""Writes `reports/model_card.md`: what people should know who get the model without the project."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.files import replacing
from resnet.pictures.data_labels import are_sets
from resnet.pictures.model_card import DataFacts, render_model_card
from tasks.report.front_matter import front_matter
from tasks.report.origin import Origin

if TYPE_CHECKING:
    from resnet.pictures.data_report import DataSet
    from resnet.pictures.report import Results


def write_model_card(
    path: Path,
    results: "Results",
    data: "DataSet",
    *,
    origin: Origin,
    license: str | None = None,  # noqa: A002
    imagenet: bool = False,
) -> None:
    """Fills the card with the results of the stages, after the lines that the Hugging Face hub reads.

    Args:
        path: of the card.
        results: of the stages.
        data: the tables about the images.
        origin: the data set.
        license: of the model, or None.
        imagenet: whether training started from the weights that Keras publishes for ImageNet. The hub's field `base_model`
            names models of the hub, and these weights are none.
    """
    pairs, details = data.near_duplicates, results.details
    counted = [name for name in ("images", "macro_f1_classes", "average_precision_classes") if name in details]
    several = are_sets(details["network"])
    card = render_model_card(
        network=details["network"],
        classes=results.classes,
        sha256=details["provenance"]["model_sha256"],
        metrics={**results.metrics, **{name: details[name] for name in counted}},
        history=results.history,
        predictions=results.predictions,
        data=DataFacts(
            images=Counter(data.index["split"]),
            formats=Counter(data.manifest["format"]),
            flags=Counter(flag for flags in data.manifest["flags"] for flag in flags.split(";")),
            equal_pixels=int(((pairs["distance"] == 0) & (pairs["split"] != pairs["other_split"])).sum()),
            name=origin.name,
            license=origin.license or "",
            citation=origin.citation or "",
        ),
        warnings=[warning.sentence.replace("\u00a0", " ") for warning in results.data["warnings"] if warning.of_accuracy],
        license=license or "",
        imagenet=imagenet,
        per_class=results.per_class if several else None,
    )
    head = front_matter(license=license, origin=origin, metrics=results.metrics)
    with replacing(path) as partial:
        partial.write_text(f"{head}\n{card}", encoding="utf-8")
