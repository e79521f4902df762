"""Fetch a data set of TensorFlow Datasets, such as `tfds:dtd`.

DVC watches the path that `ingest.source` names. For a data set that is a small file, which this command writes: it holds the
version of the data set. Commit it; then `dvc exp run -S ingest.source=tfds:dtd` uses the data set.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from resnet.core.errors import UserError
from resnet.core.files import replacing


def fetch(source: Annotated[str, typer.Argument(metavar="tfds:NAME", help="The data set, such as tfds:dtd.")]) -> None:
    """Downloads and prepares a data set, and writes the file that stands for it in the current folder.

    Raises:
        UserError: the source is no data set of TensorFlow Datasets, or it could not be fetched.
    """
    if not source.startswith("tfds:"):
        raise UserError(
            f"{source} need not be fetched; expected tfds:NAME. The stage `ingest` reads folders and archives where they are."
        )
    from resnet.ingestion.sources.tfds import prepared_builder

    info = prepared_builder(source.removeprefix("tfds:")).info
    splits = {name: split.num_examples for name, split in sorted(info.splits.items())}
    marker = {"data_set": info.full_name, "splits": splits}
    with replacing(Path(source)) as partial:
        partial.write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {source}; commit it, and choose it with `dvc exp run -S ingest.source={source}`")
