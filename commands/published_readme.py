"""What the README of a published folder says after the model card: its files, their origin, and how to predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from commands import published_label_sets
from resnet.pictures.model_card import escape

_MOST_CHANGES = 20  # files that are named
_CONTENTS = {
    "README.md": "this page: the model card, and how to use the folder",
    "resnet.keras": "the network with its weights, class names and image size",
    "classes.json": "the class names in the order of the network's outputs",
    published_label_sets.THRESHOLDS: published_label_sets.CONTENTS[published_label_sets.THRESHOLDS],
    "index.html": "the report, for a browser: curves, confusion matrix, classes, mistakes",
    "data.html": "the report about the data",
    "metrics.json": "accuracy with its 95 % interval, macro F1, calibration error, loss",
    "croissant.json": "the data in Croissant; their files, the project's `data/raw`, belong beside it as `raw/`",
    "params.yaml": "the parameters of the run",
    "dvc.lock": "the hashes of all inputs and outputs of the run",
    "requirements.lock": "the versions of all packages",
    "exports/resnet-savedmodel": "the network for TensorFlow and TensorFlow Serving",
    "exports/resnet.onnx": "the network for ONNX Runtime and others",
    "exports/resnet.tflite": "the network for LiteRT",
    "exports/resnet.keras": "the network for Keras without train-resnet",
    "exports/resnet-openvino": "the network for OpenVINO",
    "exports/resnet-int8-openvino": "the network for OpenVINO, in 8 bits",
    "exports/resnet-int8.onnx": "the network for ONNX Runtime, in 8 bits",
    "exports/resnet-int8.tflite": "the network for LiteRT, in 8 bits",
    **{
        f"exports/resnet-int8{suffix}.json": "what this export lost beside the network in float32"
        for suffix in ("-openvino", ".onnx", ".tflite")
    },
    "SHA256SUMS": "the SHA-256 of all files",
}
_WITH_KERAS = """\
With `exports/resnet.keras`, Keras 3 and TensorFlow are enough. It takes pixels of any size:

    import json
    import keras
    import numpy as np
    from PIL import Image, ImageOps

    model = keras.saving.load_model("exports/resnet.keras")
    pixels = np.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
    found = model(pixels[None])  # with a known score a dictionary
    probabilities = np.asarray(found["probabilities"] if isinstance(found, dict) else found)[0]
    print(json.load(open("classes.json"))[probabilities.argmax()], probabilities.max())"""
_WITH_ONNX = """\
With `exports/resnet.onnx`, ONNX Runtime is enough. It takes pixels of any size:

    import json
    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps

    session = onnxruntime.InferenceSession("exports/resnet.onnx")
    pixels = np.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
    (probabilities,) = session.run(["probabilities"], {session.get_inputs()[0].name: pixels[None]})
    print(json.load(open("classes.json"))[probabilities[0].argmax()], probabilities[0].max())"""


_NONE_OF_THESE = """\
If `model_card.md` or the card above names a known score, `train-resnet predict --unknown` answers `none of these` for an image
that is far from the training images. The exports have this score as their output `known_score`, which is negative for such an
image."""


@dataclass(frozen=True)
class Revision:
    """The state of the project that a folder was published from.

    Attributes:
        commit: the hash of the commit, or None without a Git repository.
        changes: the uncommitted changes, as `git status --porcelain` prints them.
    """

    commit: str | None
    changes: Sequence[str] = ()


def folder_section(files: Sequence[str], exports: Sequence[str], revision: Revision, *, multi_label: bool = False) -> str:
    """The section in Markdown, with a line end at its end.

    Args:
        files: names of the files in the folder.
        exports: names of the files and folders in its folder `exports`.
        revision: what it was published from.
        multi_label: an image may have several labels.
    """
    contents = _CONTENTS | published_label_sets.CONTENTS if multi_label else _CONTENTS
    paragraphs = [
        "## This folder",
        "\n".join(_table([*files, *(f"exports/{name}" for name in exports)], contents)),
        *_origin(revision),
        "`sha256sum -c SHA256SUMS` checks that every file arrived as it was published.",
        "## How to predict",
        "With train-resnet, in any folder; `--help` lists its options:\n\n"
        "    train-resnet predict --model resnet.keras photo.jpg",
        *(_programs_for_sets(exports) if multi_label else _programs(files, exports)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _programs(files: Sequence[str], exports: Sequence[str]) -> Iterator[str]:
    if "resnet.keras" in exports:
        yield _WITH_KERAS
    if "resnet.onnx" in exports:
        yield _WITH_ONNX
    if "resnet.keras" in files:
        yield _NONE_OF_THESE


def _programs_for_sets(exports: Sequence[str]) -> Iterator[str]:
    yield published_label_sets.MEANING
    if "resnet.keras" in exports:
        yield published_label_sets.printing_labels(_WITH_KERAS, "probabilities")
    if "resnet.onnx" in exports:
        yield published_label_sets.printing_labels(_WITH_ONNX, "probabilities[0]")


def _table(names: Sequence[str], contents: Mapping[str, str]) -> Iterator[str]:
    yield "| file | content |"
    yield "|---|---|"
    known = list(contents)
    for name in sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name)):
        yield f"| {escape(name)} | {contents.get(name, 'another export of the network')} |"


def _origin(revision: Revision) -> Iterator[str]:
    if revision.commit is None:
        yield "It was published without a commit of a Git repository, so the code that made it is not recorded."
        return
    yield f"It was published from commit `{revision.commit}` of the project. `dvc repro` makes the results again there."
    if revision.changes:
        listed = [f"    {line}" for line in revision.changes[:_MOST_CHANGES]]
        more = len(revision.changes) - _MOST_CHANGES
        yield "**These files had uncommitted changes**, so that commit alone may not give these results:"
        yield "\n".join([*listed, *([f"    and {more:,} more"] if more > 0 else [])])
