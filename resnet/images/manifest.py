"""Reads `manifest.csv` of `data/raw/`: a line for each image, in the order of the source."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet.core.errors import damaged_input, missing_input

COLUMNS = ("path", "label", "split", "group", "width", "height", "format", "sha256", "pixel_hash", "fingerprint", "flags")


@dataclass(frozen=True)
class Manifest:
    """The columns of the manifest. Some are arrays, since there may be millions of images.

    Attributes:
        paths: names of the images within their source; unique.
        labels: (images,) uint16, indices into the classes, or into the sets of classes.
        splits: name of the split, if the source has splits.
        groups: what must stay within one split, if the source has groups.
        pixel_hashes: (images, 32) uint8; equal for equal pixels.
        fingerprints: (images, bytes) uint8; close for images that look alike, see `resnet.preparation.near_duplicates`.
    """

    paths: list[str]
    labels: npt.NDArray[np.uint16]
    splits: list[str | None]
    groups: list[str | None]
    pixel_hashes: npt.NDArray[np.uint8]
    fingerprints: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.paths)


def read_manifest(folder: Path, label_texts: list[str]) -> Manifest:
    """Reads the manifest of `data/raw/`, in the order of the source.

    Args:
        folder: `data/raw/`.
        label_texts: what each label means: the class names, or the sets as text.

    Raises:
        UserError: the manifest is missing or damaged, or has a label that `label_texts` lacks.
    """
    path = folder / "manifest.csv"
    numbers = {text: number for number, text in enumerate(label_texts)}
    paths, labels, splits, groups = [], [], [], []
    hashes, fingerprints = bytearray(), bytearray()
    names: dict[str, str] = {}  # keeps one copy of each name, not one for each image
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                paths.append(row["path"])
                labels.append(numbers[row["label"]])
                splits.append(names.setdefault(row["split"], row["split"]) or None)
                groups.append(names.setdefault(row["group"], row["group"]) or None)
                hashes += bytes.fromhex(row["pixel_hash"])
                fingerprints += bytes.fromhex(row["fingerprint"])
                if row["flags"] is None:
                    raise ValueError("its last line is not whole")
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except KeyError as error:
        raise damaged_input(path, f"no column or class {error}") from error
    except (csv.Error, ValueError, TypeError) as error:
        raise damaged_input(path, error) from error
    if not paths or len(hashes) != 32 * len(paths) or len(fingerprints) % len(paths):
        raise damaged_input(path, "it has no lines, or one that is not whole")
    return Manifest(
        paths,
        np.array(labels, np.uint16),
        splits,
        groups,
        np.frombuffer(hashes, np.uint8).reshape(len(paths), 32),
        np.frombuffer(fingerprints, np.uint8).reshape(len(paths), -1),
    )
