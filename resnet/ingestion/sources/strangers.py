"""What to do with files that are no source of images here: each format with its name and the way to a format that is."""

import re
from collections import Counter
from pathlib import Path, PurePath

from resnet.core.errors import UserError
from resnet.ingestion.sources.places import IMAGES
from resnet.ingestion.sources.sightings import Sightings

_NPZ = "save the images as uint8 and the labels with numpy.savez(FILE, x=images, y=labels), and use the .npz file"
_CLASS_FOLDERS = "write the images as files into one folder for each class"
_TABLE = "write a .csv with the columns path and label"
_PACK = "unpack it and use the folder, or pack it as .zip or .tar"
_PICKLE = "a pickle, which can run code when it is loaded and is never loaded here"

_IDX_LABELS = re.compile(r"labels?[-._]idx1")

_FORMATS: dict[tuple[str, ...], tuple[str, str]] = {
    (".json",): ("JSON, whose structure is not known", f"{_TABLE}, or .jsonl with one object for each image"),
    (".txt", ".md", ".xml", ".yaml", ".yml"): ("text, and not a table", _TABLE),
    (".xls", ".xlsx", ".ods", ".numbers"): ("a spreadsheet", "save it as .csv with the columns path and label"),
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v"): (
        "a video",
        "extract its frames, for example with ffmpeg, into one folder for each class",
    ),
    (".h5", ".hdf5"): ("HDF5", f"read it with h5py, {_NPZ}"),
    (".mat",): ("a MATLAB file", f"read it with scipy.io.loadmat or h5py, {_NPZ}"),
    (".npy",): ("a single NumPy array, which has no labels", _NPZ),
    (".tfrecord", ".tfrecords"): (
        "TFRecord, whose fields only the program knows that wrote it",
        f"use tfds:NAME if it is a data set of TensorFlow Datasets, or {_CLASS_FOLDERS}",
    ),
    (".rec", ".lmdb", ".mdb", ".beton", ".sqlite", ".db"): ("a database of another program", _CLASS_FOLDERS),
    (".7z", ".rar", ".iso", ".zst", ".lz4", ".z"): ("an archive of a kind that is not read", _PACK),
    (".gz", ".bz2", ".xz"): (
        "a compressed file whose name does not say that it is a tar archive",
        "rename it, for example to .tar.gz, if it is one, or uncompress it",
    ),
    (".pkl", ".pickle", ".pt", ".pth", ".joblib"): (_PICKLE, f"load it where you trust it, {_NPZ}"),
    (".feather", ".orc", ".avro"): ("a table of another kind", "convert it to .parquet"),
    (".zip", ".tar", ".tgz"): ("an archive", "name that archive as the source, or unpack it"),
}


def refuse_file(path: Path, expected: str) -> UserError:
    """The error for a file that is no source.

    Args:
        path: the file.
        expected: the kinds of sources, in words.
    """
    if path.name.casefold().endswith(IMAGES):
        return UserError(f"the source {path} is a single image; expected {expected}.")
    found = _format(path.name)
    if found is None:
        return UserError(f"the source {path} is of no known kind; expected {expected}.")
    what, advice = found
    return UserError(f"the source {path} is {what}: {advice}.")


def refuse_content(path: Path, seen: Sightings) -> UserError | None:
    """The error for a folder or an archive that holds nothing but files of known formats; None if it may be a source."""
    if seen.has_images or not seen.complete:
        return None
    if not seen.files:
        return UserError(
            f"the source {path} has no files: put images into it, in one folder for each class, or name another source."
        )
    formats = [_format(file) for file in seen.files]
    if None in formats:  # an image without an extension, perhaps
        return None
    found = Counter(formats).most_common(1)[0][0]
    what, advice = found or ("", "")
    example = seen.files[formats.index(found)]
    return UserError(
        f"the source {path} has no images, but files such as {example}, which is {what}: if it is the right folder, {advice}."
    )


def refuse_pickles(path: Path, file: str) -> UserError:
    """The error for the version of CIFAR for Python."""
    return UserError(
        f"the source {path} holds {file}, which is {_PICKLE}: use the Parquet files of the data set from the Hugging Face hub, "
        "or tfds:cifar10 or tfds:cifar100."
    )


def is_known(path: Path) -> bool:
    """Whether the name of a file is of a format that `refuse_file` describes."""
    return _format(path.name) is not None


def _format(name: str) -> tuple[str, str] | None:
    plain = PurePath(name).name.casefold()
    if _IDX_LABELS.search(plain):
        return "the labels of IDX images", "name the folder with both as the source"
    if ".tfrecord-" in plain:  # data.tfrecord-00000-of-00010
        plain = ".tfrecord"
    return next((found for suffixes, found in _FORMATS.items() if plain.endswith(suffixes)), None)
