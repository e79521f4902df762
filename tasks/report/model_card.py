"""Writes `reports/model_card.md`: what people should know who get the model without the project."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.files import replacing
from resnet.pictures.model_card import DataFacts, render_model_card

if TYPE_CHECKING:
    from resnet.pictures.data_report import DataSet
    from resnet.pictures.report import Results


def write_model_card(path: Path, results: "Results", data: "DataSet") -> None:
    """Fills the card with the results of the stages."""
    pairs = data.near_duplicates
    card = render_model_card(
        network=results.details["network"],
        classes=results.classes,
        sha256=results.details["provenance"]["model_sha256"],
        metrics={**results.metrics, **{name: results.details[name] for name in ("images", "macro_f1_classes")}},
        history=results.history,
        predictions=results.predictions,
        data=DataFacts(
            images=Counter(data.index["split"]),
            formats=Counter(data.manifest["format"]),
            flags=Counter(flag for flags in data.manifest["flags"] for flag in flags.split(";")),
            equal_pixels=int(((pairs["distance"] == 0) & (pairs["split"] != pairs["other_split"])).sum()),
        ),
        warnings=[warning.sentence.replace("\u00a0", " ") for warning in results.data["warnings"] if warning.of_accuracy],
    )
    with replacing(path) as partial:
        partial.write_text(card, encoding="utf-8")
