"""Fetches a data set of TensorFlow Datasets: `train-resnet fetch tfds:dtd`.

DVC watches the path that `ingest.source` names. For a data set by name that path is a small file, which this command writes:
it tells the version. Commit it; then the data set can be chosen with `dvc exp run -S ingest.source=tfds:dtd`.
"""

import argparse
import json
import sys
from pathlib import Path

from resnet.core.errors import UserError
from resnet.core.files import replacing


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="train-resnet fetch", description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="such as tfds:dtd")
    source = parser.parse_args().source
    try:
        if not source.startswith("tfds:"):
            raise UserError(f"{source} needs no fetching; expected tfds:NAME. Folders and archives are read where they are.")
        fetch(source)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {source}; commit it, and choose it with `dvc exp run -S ingest.source={source}`")
    return 0


def fetch(source: str) -> None:
    """Downloads and prepares a data set, and writes the file that stands for it in the current folder."""
    from resnet.ingestion.sources.tfds import prepared_builder

    info = prepared_builder(source.removeprefix("tfds:")).info
    splits = {name: split.num_examples for name, split in sorted(info.splits.items())}
    marker = {"data_set": info.full_name, "splits": splits}
    with replacing(Path(source)) as partial:
        partial.write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
