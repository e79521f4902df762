"""Writes the trained network in formats of other programs: `train-resnet export --to savedmodel onnx litert keras`.

Preprocessing and class names go along. Each export is run on validation images and held against the Keras model in float32
before it takes its place: the same label on 99.9 % of them, and probabilities within 1e-4. The SavedModel also takes encoded
files; TensorFlow decodes these, which is not in every pixel what Pillow did in training, so this way has a limit of its own.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from commands.arguments import count
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.network.startup import start_tensorflow
from tasks.stage.graph import project_paths

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from resnet.network.model import ResNet

_KNOWN = ("savedmodel", "onnx", "litert", "keras")
_BATCH = 64
_DECODED_ALIKE = ("JPEG", "PNG", "GIF", "BMP")  # if nothing is special about the file: no flags
_ENCODED_SAME_LABEL = 0.99
_ENCODED_LARGEST = 0.05


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 after a mistake that the user can mend, or an export that does not agree."""
    parser = argparse.ArgumentParser(prog="train-resnet export", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", nargs="+", choices=_KNOWN, required=True, metavar="FORMAT", help=f"of {', '.join(_KNOWN)}")
    parser.add_argument("--out", type=Path, default=Path("exports"), help="folder for them (exports)")
    parser.add_argument("--images", type=count, default=256, help="of the validation split, to check each export on (256)")
    given = parser.parse_args(arguments)
    try:
        export(given.to, given.out, given.images)
    except UserError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("export: interrupted", file=sys.stderr)
        return 130
    return 0


def export(formats: list[str], out: Path, images: int) -> None:
    """Writes and checks each of the formats.

    Args:
        formats: of `savedmodel`, `onnx`, `litert`, `keras`.
        out: folder for them.
        images: how many validation images to check on at most.

    Raises:
        UserError: a package is missing, there is no model or no data, or an export does not agree with the model.
    """
    from resnet.core.classes import read_classes
    from resnet.dataset.arrays import Split

    paths = project_paths()
    classes = read_classes(paths["classes_json"])
    split = Split(paths["validation"], len(classes))
    _start_quietly()
    import numpy as np

    from resnet.export.formats import FORMATS, require_packages
    from resnet.network.saving import load_model

    for name in formats:
        require_packages(name)
    model = load_model(paths["resnet_keras"], classes, split.image_shape)
    pixels = split.gather(np.arange(min(images, len(split))))
    expected = _expected(model, pixels)
    for name in dict.fromkeys(formats):
        path = out / f"{paths['resnet_keras'].stem}{FORMATS[name].suffix}"
        with replacing(path) as partial:
            FORMATS[name].write(model, partial)
            said = _check(name, partial, pixels, expected)
            if name == "savedmodel":
                said += _check_encoded(partial, paths, expected)
        print(f"export: {path}: {said}", flush=True)


def _check(name: str, path: Path, pixels: "npt.NDArray[np.uint8]", expected: "npt.NDArray[np.float32]") -> str:
    import numpy as np

    from resnet.export.agreement import compare
    from resnet.export.formats import FORMATS

    run = FORMATS[name].load(path)
    found = np.concatenate([run(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])
    agreement = compare(expected, found)
    agreement.check(name)
    return str(agreement)


def _check_encoded(path: Path, paths: dict[str, Path], expected: "npt.NDArray[np.float32]") -> str:
    from resnet.export.agreement import compare
    from resnet.export.formats import load_encoded

    chosen = list(_encoded(paths, len(expected)))
    if not chosen:
        return "; no encoded image is of a kind that TensorFlow decodes as Pillow does"
    rows = [row for row, _ in chosen]
    agreement = compare(expected[rows], load_encoded(path)([encoded for _, encoded in chosen]))
    agreement.check("savedmodel with encoded images", largest=_ENCODED_LARGEST, same_label=_ENCODED_SAME_LABEL)
    left = len(expected) - len(rows)
    also = f" ({left:,} are of kinds that TensorFlow decodes otherwise)" if left else ""
    return f"; encoded: {agreement}{also}"


def _encoded(paths: dict[str, Path], count: int) -> Iterator[tuple[int, bytes]]:
    """Of the first `count` validation images those that TensorFlow should decode alike: row in the split, and bytes."""
    from resnet.core.tables import read_table
    from resnet.images.shards import read_encoded

    index = read_table(paths["index_csv"], {"path": "str", "split": "str", "row": "int"})
    manifest = read_table(paths["manifest_csv"], {"path": "str", "format": "str", "flags": "str"}, rows=len(index))
    alike = (manifest["flags"] == "") & manifest["format"].isin(_DECODED_ALIKE)
    wanted = alike & (index["split"] == "validation") & (index["row"] < count)
    every = zip(index["row"], wanted, read_encoded(paths["raw"], manifest["path"]), strict=True)
    left = int(wanted.sum())
    for row, is_wanted, encoded in every:
        if is_wanted:
            yield row, encoded
            left -= 1
        if not left:
            return


def _expected(model: "ResNet", pixels: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.float32]":
    import numpy as np

    from resnet.export.classifier import reference

    batches = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    return np.concatenate([np.asarray(reference(model, batch)) for batch in batches])


def _start_quietly() -> None:
    """Converters tell of each of their steps."""
    import logging

    start_tensorflow()
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
