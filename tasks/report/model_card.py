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
    card = render_model_card(
        network=results.details["network"],
        classes=results.classes,
        sha256=results.details["provenance"]["model_sha256"],
        metrics={**results.metrics, "images": results.details["images"]},
        history=results.history,
        predictions=results.predictions,
        data=DataFacts(
            images=Counter(data.index["split"]),
            formats=Counter(data.manifest["format"]),
            flags=Counter(flag for flags in data.manifest["flags"] for flag in flags.split(";")),
        ),
    )
    with replacing(path) as partial:
        partial.write_text(card, encoding="utf-8")
