"""Brings the images of a source into `data/raw/` as they are, with their labels."""

import sys
from pathlib import Path
from typing import Literal

from tasks.params import Section
from tasks.stage import main


class Ingest(Section):
    """Parameters of `ingest`, see `params.yaml`."""

    source: Literal["digits"]


def ingest(params: Ingest, *, raw: Path) -> None:
    """Decides what is an image and what is its label."""
    from resnet.data.raw import write_raw
    from resnet.data.sources import SOURCES

    source = SOURCES[params.source]()
    images = write_raw(raw, source)
    print(f"ingest: {images:,} images of {len(source.classes):,} classes from {params.source}")


if __name__ == "__main__":
    sys.exit(main("ingest"))
