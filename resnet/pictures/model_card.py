"""The model card in Markdown: the network, its data, results, training, use and limits.

After Mitchell et al., "Model Cards for Model Reporting" (2019). The same run always gives the same bytes. A run does not know
everything that a model card needs, such as the intended use; the card says what must be added.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet.core.words import agreeing, counted
from resnet.pictures.data_labels import are_sets
from resnet.pictures.model_card_of_sets import (
    ANY_NUMBER,
    GAP,
    NOTES,
    OUTPUTS,
    argument,
    headlines,
    offset_added,
    weakest_classes,
)
from resnet.pictures.pages import share_of

if TYPE_CHECKING:
    import pandas as pd

_MAX_CLASSES = 100  # listed by name
_WEAKEST = 5  # classes
_ALONE = "No image is in two splits; duplicates were found by their pixels"
_NOTES = {
    "calibration_error": ", the mean gap between probability and rate of correct predictions",
    "calibration_error_by_chance": ", what a perfectly calibrated network stays below on 95 % of such test sets",
    "calibration_error_before": ", without the temperature",
    "loss_before": ", without the temperature",
    "refused": ", the share that `predict --unknown` refuses as none of the classes",
    "refused_low": ", lower end of its 95 % interval",
    "refused_high": ", upper end of its 95 % interval",
}
_MIRROR = ", by the mean logits of each image and its mirror image (`predict` and exports look at each image once)"
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])")


@dataclass(frozen=True)
class DataFacts:
    """Numbers about the data.

    Attributes:
        images: the number of images in each split.
        formats: the number of files of each format.
        flags: the number of files with each flag, see `resnet.images.decoding.ImageFacts`; the key "" counts files without
            flags.
        equal_pixels: the number of pairs of images with equal pixels in different splits.
        name: of the data set; empty if unknown.
        license: of the data; empty if unknown.
        citation: how to cite the data; empty if unknown.
    """

    images: Mapping[str, int]
    formats: Mapping[str, int]
    flags: Mapping[str, int]
    equal_pixels: int = 0
    name: str = ""
    license: str = ""
    citation: str = ""


def render_model_card(
    *,
    network: Mapping[str, Any],
    classes: list[str],
    sha256: str,
    metrics: Mapping[str, float],
    history: "pd.DataFrame",
    predictions: "pd.DataFrame",
    data: DataFacts,
    warnings: Sequence[str] = (),
    license: str = "",  # noqa: A002
    imagenet: bool = False,
    per_class: "pd.DataFrame | None" = None,
) -> str:
    """The card as Markdown.

    Args:
        network: the arguments of `ResNet`.
        classes: the class names in the order of the outputs.
        sha256: the SHA-256 of the model file, hexadecimal.
        metrics: the figures of `resnet.evaluation.metrics.summarise` and `before_calibration`; images, the number of test
            images; and macro_f1_classes, the number of classes in the mean of `macro_f1`.
        history: one row for each epoch: epoch, val_loss, val_accuracy.
        predictions: one row for each test image: label, predicted.
        data: numbers about the data.
        warnings: sentences on why the accuracy means less than it seems to.
        license: of the model; empty if unknown.
        imagenet: whether training started from the weights that Keras publishes for ImageNet.
        per_class: one row for each class, see `resnet.evaluation.multi_label.per_class_of_sets`; if images have several labels
            each. Then `metrics` are those of `summarise_sets` there, with average_precision_classes.
    """
    several = are_sets(network)
    sections = (
        _network(network, len(classes), sha256),
        _classes(classes),
        _data(data),
        _results(metrics, predictions if per_class is None else per_class, len(classes), warnings, several=several),
        _training(history, data.images.get("validation", 0), imagenet, several=several),
        _use(network["input_shape"], several=several),
        _limits(data, license, network, metrics),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _network(network: Mapping[str, Any], classes: int, sha256: str) -> Iterator[str]:
    height, width, _ = network["input_shape"]
    yield f"# Model card: a ResNet for {classes:,} classes"
    yield ""
    kind = "A multi-label image classifier" if are_sets(network) else "An image classifier"
    yield f"{kind} (He et al., 2015) for RGB images of {height} x {width} pixels. It was trained with"
    yield "[Keras](https://keras.io). The `.keras` file has this SHA-256:"
    yield ""
    yield f"    {sha256}"
    yield ""
    yield "| argument of `ResNet` | value |"
    yield "|---|---|"
    for name, value in network.items():
        yield f"| {name} | {escape(argument(name, value))} |"


def _classes(names: list[str]) -> Iterator[str]:
    yield "## Classes"
    yield ""
    more = f", and {len(names) - _MAX_CLASSES:,} more, which are in the file" if len(names) > _MAX_CLASSES else ""
    yield f"In the order of the network's outputs: {', '.join(map(escape, names[:_MAX_CLASSES]))}{more}."


def _data(data: DataFacts) -> Iterator[str]:
    yield "## Data"
    yield ""
    for title, text in (("Data set", data.name), ("Licence of the data", data.license), ("To cite the data", data.citation)):
        if text:
            yield f"{title}: {escape(text)}"
            yield ""
    yield "| split | images |"
    yield "|---|---|"
    for split in ("training", "validation", "test"):
        yield f"| {split} | {data.images.get(split, 0):,} |"
    yield ""
    alone = f"Pairs of images with equal pixels in two splits: {data.equal_pixels:,}" if data.equal_pixels else _ALONE
    yield f"File formats: {_counts(data.formats)}. {alone}."


def _results(
    metrics: Mapping[str, float], measured: "pd.DataFrame", classes: int, warnings: Sequence[str], *, several: bool
) -> Iterator[str]:
    """The figures; `measured` has a row for each test image, or for each class if images have several labels each."""
    yield "## Results"
    yield ""
    mirror = _MIRROR if metrics.get("mirror") else ""
    images = int(metrics["images"])
    yield f"On {counted(images, 'test image')}, which {agreeing(images, 'was', 'were')} used for nothing else{mirror}:"
    yield ""
    yield "| figure | value |"
    yield "|---|---|"
    accuracy = share_of(metrics["accuracy"], images)
    yield from headlines(metrics, accuracy) if several else _accuracy(metrics, accuracy)
    shown = {f"{name}{end}" for name in ("accuracy", "mean_average_precision") for end in ("", "_low", "_high")}
    shown |= {"images", "macro_f1_classes", "average_precision_classes", "mirror"}
    averaged = int(metrics["macro_f1_classes"])
    those = agreeing(averaged, "the one", "those")
    notes = _NOTES | {"macro_f1": f", mean of {averaged:,} of {classes:,} classes: {those} with test images or predictions"}
    notes |= NOTES if several else {}
    for name, value in metrics.items():
        if name not in shown and isinstance(value, int | float):
            yield f"| {escape(name)} | {value:.4f}{notes.get(name, '')} |"
    for warning in warnings:
        yield ""
        yield f"**Warning:** {escape(warning)}"
    yield ""
    yield from weakest_classes(measured, escape) if several else _weakest(measured)


def _accuracy(metrics: Mapping[str, float], accuracy: float) -> Iterator[str]:
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    yield f"| accuracy | {100 * accuracy:.2f} %, 95 % interval {100 * low:.2f} to {100 * high:.2f} % |"


def _weakest(predictions: "pd.DataFrame") -> Iterator[str]:
    recall = (predictions["label"] == predictions["predicted"]).groupby(predictions["label"]).agg(["mean", "size"])
    # By recall, then by name, so that the order of equal values is defined.
    weakest = recall.reset_index().sort_values(["mean", "label"])[:_WEAKEST]
    yield "The classes with the lowest recall:"
    yield ""
    yield "| class | recall | test images |"
    yield "|---|---|---|"
    for label, share, count in weakest.itertuples(index=False):
        yield f"| {escape(label)} | {100 * share:.1f} % | {count:,} |"


def _training(history: "pd.DataFrame", validated: int, imagenet: bool, *, several: bool) -> Iterator[str]:
    best = history.iloc[int(history["val_loss"].to_numpy().argmin())]
    yield "## Training"
    yield ""
    epochs = counted(len(history), "epoch")
    yield f"{epochs}. All settings, including the initial weights, are in `params.yaml` of the same commit. The"
    yield f"weights are those of epoch {int(best['epoch'])}, which has the lowest loss on the validation split"
    accuracy, at = ("exact-match accuracy", " with all thresholds at 0.5") if several else ("accuracy", "")
    yield f"({best['val_loss']:.4f}, {accuracy} {100 * share_of(best['val_accuracy'], validated):.2f} %{at})."
    if imagenet:
        yield ""
        yield "Training started from the weights that Keras publishes for ImageNet (`keras.applications`)."


def _use(shape: tuple[int, int, int], *, several: bool) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield _USE.format(size=shape[0], outputs=OUTPUTS if several else _OUTPUTS)


_OUTPUTS = """\
The outputs are logits; softmax converts them to
probabilities."""

_USE = """\
    dvc artifacts get URL resnet        # the file of the last version that `gto register resnet` has tagged
    train-resnet predict PATH...        # classes and probabilities of image files
    train-resnet export --to onnx       # for other programs, with preprocessing and class names included

An image is rotated according to its EXIF orientation and converted to 8-bit RGB, with transparency on white. Its short side is
resized to {size} pixels by bicubic interpolation with antialiasing, and the centre is cropped. Values are normalised by the
means and standard deviations in `resnet/network/normalisation.py`. {outputs}

Exports take 8-bit RGB images of any size and include all steps from the resizing on. The SavedModel also takes encoded JPEG,
PNG, GIF and BMP files. TensorFlow decodes these: it ignores EXIF orientation, and decodes CMYK, 16 bits and some palettes
differently. In a `.keras` and a `.tflite` export, `class_names.json` is a member of the zip archive."""


def _limits(
    data: DataFacts,
    license: str,  # noqa: A002
    network: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> Iterator[str]:
    temperature, refuses = network.get("temperature"), network.get("refuses")
    yield "## Limits"
    yield ""
    yield "- The figures hold only for images like those of the data."
    several = are_sets(network)
    yield ANY_NUMBER if several else "- Every image is assigned to one of the classes, whatever it shows."
    if refuses is not None:
        yield "  With `predict --unknown`, and by a negative output `known_score` of the exports, at most"
        yield f"  {100 * refuses:g} % of new images like the validation images are refused as none of the classes. Images that"
        yield "  resemble the data may pass."
    if temperature is None:
        yield "- The probability of a prediction is not the measured rate of correct predictions."
    else:
        validated = counted(data.images.get("validation", 0), "validation image")
        moved = offset_added(network) if several else ""
        yield f"- The logits were divided by a temperature of {temperature:.3g}{moved}, fitted on {validated}."
        differ = GAP if several else "probabilities and the rate of correct predictions differ by"
        yield f"  On the test images, {differ}"
        yield f"  {metrics['calibration_error']:.4f} on average; if they agreed, chance alone would give up to"
        yield f"  {metrics['calibration_error_by_chance']:.4f}. For each class by itself the difference can be larger."
    flags = {name: count for name, count in data.flags.items() if name}
    if flags:
        yield f"- Decoding changed some images of the data: {_counts(flags)}."
    if license:
        yield f"- Licence of the model: {escape(license)}."
    missing = [
        "the intended use of the network",
        "the origin of the data",
        *(["the licence of the model (`render.license`)"] if not license else []),
        *(["the licence of the data (`render.data_license`)"] if not data.license else []),
    ]
    yield f"- A run does not know {', '.join(missing[:-1])} and {missing[-1]}."
    yield "  Add them before you distribute the model, here or as the named parameters in `params.yaml`."


def _counts(counts: Mapping[str, int]) -> str:
    """Numbers and names, the most frequent first, then by name."""
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {escape(name)}" for name, count in items) or "none"


def escape(text: str) -> str:
    """Escapes text for Markdown, on one line. Class names are folder names, and may contain any characters."""
    printable = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return _SPECIAL.sub(r"\\\1", printable)
