"""Writes `reports/model_card.md` for the stage `render`: what whoever gets the model without the project should know."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.evaluation.model_file import read_model_facts
from resnet.files import replacing
from resnet.model_card import DataFacts, render_model_card
from tasks.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


def write_model_card(
    path: Path,
    *,
    resnet_keras: Path,
    metrics: Mapping[str, float],
    history: "pd.DataFrame",
    predictions: "pd.DataFrame",
    index_csv: Path,
    manifest_csv: Path,
) -> None:
    """Fills the card from what the stages wrote.

    Raises:
        UserError: a file is missing or damaged.
    """
    index = read_table(index_csv, {"split": "str"})
    manifest = read_table(manifest_csv, {"format": "str", "flags": "str"})
    model = read_model_facts(resnet_keras)
    with resnet_keras.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    card = render_model_card(
        model=model,
        sha256=sha256,
        metrics=metrics,
        history=history,
        predictions=predictions,
        data=DataFacts(
            images=Counter(index["split"]),
            formats=Counter(manifest["format"]),
            flags=Counter(flag for flags in manifest["flags"] for flag in flags.split(";")),
        ),
    )
    with replacing(path) as partial:
        partial.write_text(card, encoding="utf-8")


def _counts(column: "pd.Series[str]") -> dict[str, int]:
    """How often each text is there, the most frequent first."""
    return {str(text): int(count) for text, count in column.value_counts().items()}
