"""Write the network as savedmodel, onnx, litert, keras or openvino.

An export contains the preprocessing and the names of the classes. Before it is kept, it is compared with the Keras model in
float32 on validation images: the same label on 99.9 % of them, and probabilities within 1e-4. It is also compared on images of
many sizes and shapes, which it has to resize as the pipeline does: probabilities within 5e-3. The SavedModel also takes encoded
files. TensorFlow decodes these, and not every pixel is the one that Pillow decoded for training, so that check is less strict.
With several labels an image, labels are compared for each pair of image and class, and the export contains the thresholds.

With --int8 weights and activations have 8 bits, calibrated on training images. An int8 export is kept unless its accuracy on
validation images is worse than in float32 by more than 0.5 points beyond chance; with several labels an image that is the share
of images whose whole set of labels is right. A JSON file beside it has the figures.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.export_record import record_export
from commands.places import own_place
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.core.words import agreeing, counted
from resnet.network.startup import start_tensorflow
from tasks.stage.graph import project_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from resnet.core.label_sets import LabelSets
    from resnet.dataset.arrays import Split
    from resnet.export.drift import Drift
    from resnet.export.formats import Format, Run
    from resnet.network.model import ResNet

KNOWN = ("savedmodel", "onnx", "litert", "keras", "openvino")
_BATCH = 64
_CHECKED = 256  # images
_CHECKED_INT8 = 2000  # more, for an accuracy has a wider interval than a probability
_DECODED_ALIKE = ("JPEG", "PNG", "GIF", "BMP")  # if the file has no flags, which mark unusual files
_ENCODED_SAME_LABEL = 0.99
_ENCODED_LARGEST = 0.05
_INT8_REFUSED = 0.05  # of the images of the classes, which an int8 export may refuse in addition
_INT8_RESIZED = 0.1  # a level that is rounded the other way may move a value to the next of 256 steps


def named_formats(given: list[str]) -> list[str]:
    """The formats that an option names, separated by commas.

    Raises:
        BadParameter: one is not known.
    """
    formats = [name for text in given for name in text.split(",")]
    for name in formats:
        if name not in KNOWN:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(KNOWN)}")
    return formats


def export(
    to: Annotated[
        list[str],
        typer.Option(
            metavar="FORMAT",
            callback=named_formats,
            autocompletion=lambda: list(KNOWN),
            help=f"One of {', '.join(KNOWN)}; repeat the option, or separate several by commas.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write to.")] = Path("exports"),
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights and activations of 8 bits; for openvino, onnx and litert.")
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=f"{_CHECKED}, or {_CHECKED_INT8:,} with --int8",
            help="How many validation images to check each export on.",
        ),
    ] = None,
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
    from resnet.core.classes import read_classes, read_label_sets
    from resnet.dataset.arrays import Split

    paths = project_paths()
    path = model or paths["resnet_keras"]
    classes, label_sets = read_classes(paths["classes_json"]), read_label_sets(paths["classes_json"])
    split = Split(paths["validation"], len(classes if label_sets is None else label_sets))
    if not len(split):
        raise UserError(f"{paths['validation']} has no images to check an export on: raise preprocess.validation_share.")
    _start_quietly()
    from resnet.export.formats import FORMATS, require_packages
    from resnet.export.int8 import require_int8
    from resnet.network.archive import named_by_user
    from resnet.network.saving import load_model

    for name in to:
        if int8:
            require_int8(name)
        require_packages(name, int8=int8)
    with named_by_user(model):
        network = load_model(path, classes, split.image_shape, multi_label=label_sets is not None)
    if int8:
        write = _int8_writer(paths, network, split, images, path, label_sets=label_sets)
    else:
        write = _float32_writer(paths, network, split, images)
    for name in dict.fromkeys(to):
        target = out / f"{path.stem}{'-int8' if int8 else ''}{FORMATS[name].suffix}"
        if target.resolve() == path.resolve():
            raise UserError(f"{target} is the model itself: name another folder with --out.")
        if (place := own_place(target)) is not None:
            raise UserError(
                f"{target} is {place} or in it, which belongs to the pipeline, Git or DVC: name another folder with --out."
            )
        result = write(name, target)
        record_export(target, path)
        print(f"export: {target}: {result}", flush=True)


def _float32_writer(
    paths: dict[str, Path], network: "ResNet", split: "Split", images: int | None
) -> "Callable[[str, Path], str]":
    """A function that writes an export and checks it against the network; it returns what the checks found."""
    import numpy as np

    from resnet.export.formats import FORMATS
    from resnet.network.known_score import OUTPUT

    pixels = split.gather(np.arange(min(images or _CHECKED, len(split))))
    expected = _expected(network, pixels)

    def write(name: str, target: Path) -> str:
        with replacing(target) as partial:
            FORMATS[name].write(network, partial)
            run = FORMATS[name].load(partial)
            result = _check(name, run, pixels, expected, network.thresholds)
            result += _check_resizing(name, run, pixels, lambda images: _expected(network, images), network.thresholds)
            if network.known_score is not None:
                result += _check_known_score(name, FORMATS[name].load(partial, OUTPUT), pixels, network)
            if name == "savedmodel":
                result += _check_encoded(partial, paths, network, pixels, expected)
        return result

    return write


def _int8_writer(
    paths: dict[str, Path],
    network: "ResNet",
    split: "Split",
    images: int | None,
    model: Path,
    *,
    label_sets: "LabelSets | None",
) -> "Callable[[str, Path], str]":
    """A function that writes an int8 export and its report; it returns what the checks found.

    Args:
        paths: of the project.
        network: in float32.
        split: validation images.
        images: how many of them to check on.
        model: the file of the network.
        label_sets: of the data; None if each image has one label.
    """
    import numpy as np
    from scipy.special import expit, softmax

    from resnet.dataset.arrays import Split
    from resnet.export.drift import measure_drift
    from resnet.export.formats import FORMATS
    from resnet.export.int8 import calibration_images, write_int8
    from resnet.network.folding import folded_network

    labels = network.classes if label_sets is None else len(label_sets)
    calibration = calibration_images(Split(paths["training"], labels), split.image_shape[0])
    # Spread over the split, which is sorted by path and so often by class.
    rows = np.linspace(0, len(split) - 1, min(images or _CHECKED_INT8, len(split))).astype(np.int64)
    pixels, reference = split.gather(rows), folded_network(network)
    logits = _in_batches(reference, pixels)
    expected = softmax(logits, axis=1) if label_sets is None else expit(logits)
    truth = split.labels[rows] if label_sets is None else label_sets.of(split.labels[rows])

    def write(name: str, target: Path) -> str:
        with replacing(target) as partial:
            write_int8(name, network, calibration, partial)
            run = FORMATS[name].load(partial)
            drift = measure_drift(truth, expected, _in_batches(run, pixels), network.thresholds)
            drift.check(name)
            resized = _check_resizing(
                name, run, pixels, lambda images: _in_batches(run, images), network.thresholds, largest=_INT8_RESIZED
            )
            refused = _refused(network, FORMATS[name], partial, pixels)
            if refused.get("int8_refused", 0) > refused.get("refused", 0) + _INT8_REFUSED:
                (shutil.rmtree if partial.is_dir() else Path.unlink)(partial)
                write_int8(name, _without_known_score(network), calibration, partial)
        return f"{drift}{resized}{_shares(refused)}; {_report(target, drift, model, len(calibration), refused)}"

    return write


def _refused(network: "ResNet", kind: "Format", path: Path, pixels: "npt.NDArray[np.uint8]") -> dict[str, float]:
    """The shares of images of the classes that the network and its int8 export refuse; nothing without a known score."""
    from resnet.network.known_score import OUTPUT, is_known

    if network.known_score is None:
        return {}
    scores = _known_scores(network, pixels), _in_batches(kind.load(path, OUTPUT), pixels)
    return dict(zip(("refused", "int8_refused"), (float((~is_known(one)).mean()) for one in scores), strict=True))


def _without_known_score(network: "ResNet") -> "ResNet":
    from resnet.network.model import ResNet

    made = ResNet.from_config({name: value for name, value in network.get_config().items() if name != "refuses"})
    made.set_weights(network.get_weights())
    return made


def _shares(refused: dict[str, float]) -> str:
    if not refused:
        return ""
    share, in_int8 = refused["refused"], refused["int8_refused"]
    text = f"; refused as none of the classes {100 * in_int8:.1f} % instead of {100 * share:.1f} %"
    return text + (", so it has no known score" if in_int8 > share + _INT8_REFUSED else "")


def _report(target: Path, drift: "Drift", model: Path, calibrated: int, refused: dict[str, float]) -> str:
    """Writes the figures of an int8 export beside it; returns its size, and a remark if images are too few."""
    size = sum(file.stat().st_size for file in ([target] if target.is_file() else target.iterdir()))
    share = size / model.stat().st_size
    figures = (
        drift.figures()
        | refused
        | {"calibration_images": calibrated, "bytes": size, "share_of_the_model_file": round(share, 4)}
    )
    with replacing(target.with_name(f"{target.name}.json")) as partial:
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    remark = "; too few validation images to rule out a loss of more than 0.5 points" if drift.is_open() else ""
    return f"{size / 1e6:.1f} MB, {share:.2f} of {model.name}{remark}"


def _check(
    name: str,
    run: "Run",
    pixels: "npt.NDArray[np.uint8]",
    expected: "npt.NDArray[np.float32]",
    thresholds: list[float] | None,
) -> str:
    from resnet.export.agreement import measure_agreement

    agreement = measure_agreement(expected, _in_batches(run, pixels), thresholds)
    agreement.check(name)
    return str(agreement)


def _check_resizing(
    name: str,
    run: "Run",
    pixels: "npt.NDArray[np.uint8]",
    expect: "Run",
    thresholds: list[float] | None,
    *,
    largest: float | None = None,
) -> str:
    """Checks an export on images of many sizes and shapes: what `expect` finds in them after Pillow has resized them."""
    import numpy as np

    from resnet.export.agreement import RESIZED_LARGEST, RESIZED_SAME_LABEL, measure_agreement
    from resnet.export.shapes import varied_images
    from resnet.images.decoding import resize_and_crop

    images = list(varied_images(pixels))
    expected = expect(np.stack([resize_and_crop(image, pixels.shape[1]) for image in images]))
    found = np.concatenate([run(np.asarray(image)[None]) for image in images])
    agreement = measure_agreement(expected, found, thresholds)
    agreement.check(f"{name} with images to resize", largest=largest or RESIZED_LARGEST, same_label=RESIZED_SAME_LABEL)
    return f"; of many sizes and shapes: {agreement}"


def _check_known_score(name: str, run: "Run", pixels: "npt.NDArray[np.uint8]", network: "ResNet") -> str:
    """Checks that an export refuses what the network refuses; scores next to zero may fall on either side."""
    import numpy as np

    from resnet.export.agreement import NEAR_ZERO, SAME_LABEL

    expected, found = _known_scores(network, pixels), _in_batches(run, pixels)
    differ = ((expected < 0) != (found < 0)) & (np.abs(expected) > NEAR_ZERO)
    if not np.isfinite(found).all() or differ.mean() > 1 - SAME_LABEL:
        number = int(differ.sum())
        verb = agreeing(number, "differs", "differ")
        raise UserError(
            f"{name} refuses other images than the model: {number:,} of {len(differ):,} {verb}; expected at most "
            f"{100 * (1 - SAME_LABEL):.1f} %: nothing was written; report this with the versions that `train-resnet doctor` "
            "prints."
        )
    largest = float(np.abs(expected - found).max())
    share = f"{100 * float((found < 0).mean()):.1f} % of {counted(len(pixels), 'validation image')} as none of the classes"
    return f"; refuses {share}, largest difference of a known score {largest:.1e}"


def _known_scores(model: "ResNet", pixels: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.float32]":
    import numpy as np

    from resnet.export.classifier import reference_known_score

    return _in_batches(lambda batch: np.asarray(reference_known_score(model, batch)), pixels)


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
    agreement = measure_agreement(np.concatenate([expected[rows], expected_of_more]), found, network.thresholds)
    agreement.check("savedmodel with encoded images", largest=_ENCODED_LARGEST, same_label=_ENCODED_SAME_LABEL)
    left = len(expected) - len(rows)
    also = f" ({left:,} {agreeing(left, 'is of a kind', 'are of kinds')} that TensorFlow decodes differently)" if left else ""
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

    return _in_batches(lambda batch: np.asarray(reference(model, batch)), pixels)


def _in_batches(run: "Run", pixels: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.float32]":
    import numpy as np

    return np.concatenate([run(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])


def _start_quietly() -> None:
    """Starts TensorFlow, and keeps converters from logging each of their steps."""
    import logging

    start_tensorflow()
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
