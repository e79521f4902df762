"""Writes `reports/model_card.md` for the stage `render`: what whoever gets the model without the project should know."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.files import replacing
from resnet.pictures.model_card import DataFacts, render_model_card

if TYPE_CHECKING:
    from resnet.pictures.data_report import DataSet
    from resnet.pictures.report import Results


def write_model_card(path: Path, results: "Results", data: "DataSet") -> None:
    """Fills the card from what the stages wrote."""
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
