"""Write the network as savedmodel, onnx, litert or keras.

An export contains the preprocessing and the names of the classes. Before it is kept, it is compared with the Keras model in
float32 on validation images: the same label on 99.9 % of them, and probabilities within 1e-4. It is also compared on images of
many sizes and shapes, which it has to resize as the pipeline does: probabilities within 5e-3. The SavedModel also takes encoded
files. TensorFlow decodes these, and not every pixel is the one that Pillow decoded for training, so that check is less strict.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.export_record import record_export
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.network.startup import start_tensorflow
from tasks.stage.graph import project_paths

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from resnet.export.formats import Run
    from resnet.network.model import ResNet

_KNOWN = ("savedmodel", "onnx", "litert", "keras")
_BATCH = 64
_DECODED_ALIKE = ("JPEG", "PNG", "GIF", "BMP")  # if the file has no flags, which mark unusual files
_ENCODED_SAME_LABEL = 0.99
_ENCODED_LARGEST = 0.05


def _formats(given: list[str]) -> list[str]:
    formats = [name for text in given for name in text.split(",")]
    for name in formats:
        if name not in _KNOWN:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(_KNOWN)}")
    return formats


def export(
    to: Annotated[
        list[str],
        typer.Option(
            metavar="FORMAT",
            callback=_formats,
            autocompletion=lambda: list(_KNOWN),
            help=f"One of {', '.join(_KNOWN)}; repeat the option, or separate several by commas.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write to.")] = Path("exports"),
    images: Annotated[int, typer.Option(min=1, metavar="N", help="How many validation images to check each export on.")] = 256,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A .keras file of the same classes, instead of the project's model.",
        ),
    ] = None,
) -> None:
    """Writes and checks each of the formats.

    Raises:
        UserError: a package, the model or the data are missing, or an export does not agree with the model.
    """
    from resnet.core.classes import read_classes
    from resnet.dataset.arrays import Split

    paths = project_paths()
    path = model or paths["resnet_keras"]
    classes = read_classes(paths["classes_json"])
    split = Split(paths["validation"], len(classes))
    _start_quietly()
    import numpy as np

    from resnet.export.formats import FORMATS, require_packages
    from resnet.network.archive import named_by_user
    from resnet.network.saving import load_model

    for name in to:
        require_packages(name)
    with named_by_user(model):
        network = load_model(path, classes, split.image_shape)
    pixels = split.gather(np.arange(min(images, len(split))))
    expected = _expected(network, pixels)
    for name in dict.fromkeys(to):
        target = out / f"{path.stem}{FORMATS[name].suffix}"
        if target.resolve() == path.resolve():
            raise UserError(f"{target} is the model itself: name another folder with --out.")
        with replacing(target) as partial:
            FORMATS[name].write(network, partial)
            run = FORMATS[name].load(partial)
            result = _check(name, run, pixels, expected) + _check_resizing(name, run, network, pixels)
            if name == "savedmodel":
                result += _check_encoded(partial, paths, network, pixels, expected)
        record_export(target, path)
        print(f"export: {target}: {result}", flush=True)


def _check(name: str, run: "Run", pixels: "npt.NDArray[np.uint8]", expected: "npt.NDArray[np.float32]") -> str:
    import numpy as np

    from resnet.export.agreement import measure_agreement

    found = np.concatenate([run(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])
    agreement = measure_agreement(expected, found)
    agreement.check(name)
    return str(agreement)


def _check_resizing(name: str, run: "Run", network: "ResNet", pixels: "npt.NDArray[np.uint8]") -> str:
    import numpy as np

    from resnet.export.agreement import RESIZED_LARGEST, RESIZED_SAME_LABEL, measure_agreement
    from resnet.export.shapes import varied_images
    from resnet.images.decoding import resize_and_crop

    images = list(varied_images(pixels))
    expected = _expected(network, np.stack([resize_and_crop(image, pixels.shape[1]) for image in images]))
    agreement = measure_agreement(expected, np.concatenate([run(np.asarray(image)[None]) for image in images]))
    agreement.check(f"{name} with images to resize", largest=RESIZED_LARGEST, same_label=RESIZED_SAME_LABEL)
    return f"; of many sizes and shapes: {agreement}"


def _check_encoded(
    path: Path, paths: dict[str, Path], network: "ResNet", pixels: "npt.NDArray[np.uint8]", expected: "npt.NDArray[np.float32]"
) -> str:
    """Checks a SavedModel on the files of validation images, and on some of other formats, sizes and shapes."""
    import numpy as np

    from resnet.export.agreement import measure_agreement
    from resnet.export.formats import load_encoded
    from resnet.export.shapes import varied_files
    from resnet.images.decoding import load

    chosen, more = list(_encoded(paths, len(expected))), list(varied_files(pixels))
    rows = [row for row, _ in chosen]
    expected_of_more = _expected(network, np.stack([load(file, pixels.shape[1]) for file in more]))
    found = load_encoded(path)([*(encoded for _, encoded in chosen), *more])
    agreement = measure_agreement(np.concatenate([expected[rows], expected_of_more]), found)
    agreement.check("savedmodel with encoded images", largest=_ENCODED_LARGEST, same_label=_ENCODED_SAME_LABEL)
    left = len(expected) - len(rows)
    also = f" ({left:,} are of kinds that TensorFlow decodes differently)" if left else ""
    return f"; encoded: {agreement}{also}"


def _encoded(paths: dict[str, Path], count: int) -> Iterator[tuple[int, bytes]]:
    """Row and bytes of each of the first `count` validation images that TensorFlow should decode as Pillow does."""
    from resnet.core.tables import read_table
    from resnet.images.shards import read_encoded
    from tasks.report.data import RawTables

    index = read_table(paths["index_csv"], {"path": "str", "split": "str", "row": "int"})
    columns = {"path": "str", "format": "str", "flags": "str"}
    manifest = read_table(RawTables(paths["raw"]).manifest_csv, columns, rows=len(index))
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
    """Starts TensorFlow, and keeps converters from logging each of their steps."""
    import logging

    start_tensorflow()
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
