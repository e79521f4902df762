"""Describes `data/raw/` in Croissant, the vocabulary of MLCommons for data sets: https://docs.mlcommons.org/croissant/docs/.

Programs that know Croissant read the images, labels and splits without this project; `mlcroissant` is one. The file names the
shards with a pattern and the images not at all, so its size depends on the number of classes, not of images.

Its record sets are read one after another. Croissant can also join them to one, but `mlcroissant` then reads all images into
memory; on its own, the record set of the images takes one shard at a time.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet.core.checksums import RAW, read_sums
from resnet.core.classes import read_label_sets
from resnet.core.errors import damaged_input
from resnet.core.files import replacing
from tasks.report.origin import Origin

if TYPE_CHECKING:
    import pandas as pd

_MOST_SHARDS = 1000  # listed one by one, of 240 MB each; the list of sums has them all
_PREFIXES = {
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
# The context that the specification of version 1.0 prescribes.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **_PREFIXES,
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_PARQUET = "application/x-parquet"
_SHARDS = "images-*.parquet"


def write_croissant(path: Path, raw: Path, classes: list[str], manifest: "pd.DataFrame", origin: Origin) -> None:
    """Writes the description.

    Args:
        path: of the file; it names the other files relative to its own folder.
        raw: the output folder of `ingest`.
        classes: the class names in the order of their labels.
        manifest: one row for each image, with the columns split and group, which are text.
        origin: the data set.

    Raises:
        UserError: the list of sums or of classes is missing or damaged, or the former does not list a file.
    """
    sums = raw / RAW
    several = read_label_sets(raw / "classes.json") is not None
    folder = Path(os.path.relpath(raw, path.parent)).as_posix()
    tree = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": origin.name,
        "description": _description(len(manifest), len(classes), several),
        **({"license": origin.license} if origin.license else {}),
        **({"citeAs": origin.citation} if origin.citation else {}),
        **({"url": f"https://huggingface.co/datasets/{origin.hub}"} if origin.hub else {}),
        "distribution": [*_files(sums, folder), _shards(folder)],
        "recordSet": [_images(several), _classes(classes), _manifest(manifest)],
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _description(images: int, classes: int, several: bool) -> str:
    labels = ", of which an image may have several or none" if several else ""
    return (
        f"{images:,} labelled images of {classes:,} classes{labels}, in their original encoding, as the stage "
        "ingest of train-resnet took them from their source."
    )


def _files(sums: Path, folder: str) -> list[dict[str, Any]]:
    """The files that readers need, with their SHA-256."""
    listed = read_sums(sums)
    shards = [name for name in sorted(listed) if name.endswith(".parquet")]
    try:
        tables = [
            _file("manifest.csv", "text/csv", listed["manifest.csv"], folder),
            _file("classes.json", "application/json", listed["classes.json"], folder),
        ]
    except KeyError as error:
        raise damaged_input(sums, f"it does not list {error}") from error
    return [*tables, *(_file(name, _PARQUET, listed[name], folder) for name in shards[:_MOST_SHARDS])]


def _file(name: str, media_type: str, sha256: str, folder: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": f"{folder}/{name}",
        "encodingFormat": media_type,
        "sha256": sha256,
    }


def _shards(folder: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": f"The images. {folder}/{RAW} has the SHA-256 of each shard.",
        "encodingFormat": _PARQUET,
        "includes": f"{folder}/{_SHARDS}",
    }


def _images(several: bool) -> dict[str, Any]:
    shards: dict[str, Any] = {"fileSet": {"@id": "shards"}}
    image, path = (
        {**shards, "extract": {"column": "image"}, "transform": {"jsonPath": member}} for member in ("bytes", "path")
    )
    label = _field("images/label", "sc:Integer", "The number of its class.", {**shards, "extract": {"column": "label"}})
    if several:
        label |= {"description": "The numbers of its classes.", "repeated": True}
    fields = [
        _field("images/image", "sc:ImageObject", "The image in its original encoding.", image),
        _field("images/path", "sc:Text", "Its name in the source; unique.", path),
        label,
    ]
    return _record_set("images", "Every image with its label.", "images/path", fields)


def _classes(names: list[str]) -> dict[str, Any]:
    fields = [
        _field("classes/label", "sc:Integer", "The number of the class."),
        _field("classes/name", "sc:Text", "Its name."),
    ]
    return {
        **_record_set("classes", "The name of each class.", "classes/label", fields),
        "dataType": "sc:Enumeration",
        "data": [{"classes/label": number, "classes/name": name} for number, name in enumerate(names)],
    }


def _manifest(manifest: "pd.DataFrame") -> dict[str, Any]:
    """The table about the images, with splits and groups if the source has them.

    It has the names of the classes too, but readers take a column of a CSV file with the names 007 and 7 for numbers.
    """
    columns = [
        ("path", "sc:Text", "The name of the image in the source, as in images/path."),
        ("split", "sc:Text", "The split that the source assigns: training, validation or test; empty if none."),
        ("group", "sc:Text", "Images of one group, such as a patient or a video, stay in one split."),
        ("width", "sc:Integer", "Width in pixels, upright."),
        ("height", "sc:Integer", "Height in pixels, upright."),
        ("format", "sc:Text", "The encoding, such as JPEG."),
        ("sha256", "sc:Text", "The SHA-256 of the encoded image."),
    ]
    absent = {name for name in ("split", "group") if not (manifest[name] != "").any()}
    table: dict[str, Any] = {"fileObject": {"@id": "manifest.csv"}}
    fields = [
        _field(f"manifest/{name}", kind, text, {**table, "extract": {"column": name}})
        for name, kind, text in columns
        if name not in absent
    ]
    return _record_set("manifest", "Facts about every image.", "manifest/path", fields)


def _record_set(name: str, description: str, key: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": key},
        "field": fields,
    }


def _field(identity: str, kind: str, description: str, source: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": identity,
        "name": identity.partition("/")[2],
        "description": description,
        "dataType": kind,
        **({"source": source} if source else {}),
    }
