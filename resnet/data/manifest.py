"""`manifest.csv` of `data/raw/`: a line for each image, in the order of its source."""

import csv
from dataclasses import dataclass
from pathlib import Path

from resnet.errors import damaged_input, missing_input

COLUMNS = ("path", "label", "width", "height", "format", "sha256")


@dataclass(frozen=True)
class Entry:
    """A line of the manifest.

    Attributes:
        path: of the image within its source, unique.
        label: index into the classes.
        sha256: of the encoded image, in hexadecimal digits.
    """

    path: str
    label: int
    sha256: str


def read_manifest(folder: Path, classes: list[str]) -> list[Entry]:
    """What `data/raw/` holds, in the order of its source.

    Raises:
        UserError: the manifest is missing or damaged, or has a class that `classes` lacks.
    """
    path = folder / "manifest.csv"
    numbers = {name: number for number, name in enumerate(classes)}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            entries = [Entry(row["path"], numbers[row["label"]], row["sha256"]) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except KeyError as error:
        raise damaged_input(path, f"no column or class {error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise damaged_input(path, error) from error
    if not entries or len(entries[-1].sha256 or "") != 64:
        raise damaged_input(path, "its last line is not whole")
    return entries
