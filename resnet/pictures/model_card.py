"""The model card: what a network is, what it learned from, how good it is and where it ends, as one page of Markdown.

After Mitchell et al., "Model Cards for Model Reporting" (2019). It is filled from a run and has the same bytes for the same
run; what a run cannot know, such as what the network is meant for, it says it does not know.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 100  # classes by name
_WEAKEST = 5
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])")


@dataclass(frozen=True)
class DataFacts:
    """What the data are.

    Attributes:
        images: number in each split.
        formats: number of files of each format.
        flags: number of files with each peculiarity that decoding settles, see `resnet.images.decoding.ImageFacts`; under ""
            those with none.
    """

    images: Mapping[str, int]
    formats: Mapping[str, int]
    flags: Mapping[str, int]


def render_model_card(
    *,
    network: Mapping[str, Any],
    classes: list[str],
    sha256: str,
    metrics: Mapping[str, float],
    history: "pd.DataFrame",
    predictions: "pd.DataFrame",
    data: DataFacts,
) -> str:
    """The card as Markdown.

    Args:
        network: the arguments of `ResNet`.
        classes: their names, in the order of the outputs.
        sha256: of the file, hexadecimal.
        metrics: as `resnet.evaluation.metrics.summarise` gives them.
        history: a row an epoch: epoch, loss, accuracy, val_loss, val_accuracy.
        predictions: a row a test image: label, predicted.
        data: see `DataFacts`.
    """
    sections = (
        _network(network, len(classes), sha256),
        _classes(classes),
        _data(data),
        _results(metrics, predictions),
        _training(history),
        _use(network["input_shape"]),
        _limits(data),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _network(network: Mapping[str, Any], classes: int, sha256: str) -> Iterator[str]:
    height, width, _ = network["input_shape"]
    yield f"# Model card: a ResNet for {classes:,} classes"
    yield ""
    yield f"An image classifier (He et al., 2015) for RGB images of {height} x {width} pixels. It was made with"
    yield "[Keras](https://keras.io), and is a `.keras` file with this SHA-256:"
    yield ""
    yield f"    {sha256}"
    yield ""
    yield "| argument of `ResNet` | value |"
    yield "|---|---|"
    for name, value in network.items():
        yield f"| {name} | {escape(str(value))} |"


def _classes(names: list[str]) -> Iterator[str]:
    yield "## Classes"
    yield ""
    more = f", and {len(names) - _LISTED:,} more, which are in the file" if len(names) > _LISTED else ""
    yield f"In the order of the network's outputs: {', '.join(map(escape, names[:_LISTED]))}{more}."


def _data(data: DataFacts) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield "| split | images |"
    yield "|---|---|"
    for split in ("training", "validation", "test"):
        yield f"| {split} | {data.images.get(split, 0):,} |"
    yield ""
    yield f"Their files: {_counts(data.formats)}. No image is in two splits; copies were found by their pixels."


def _results(metrics: Mapping[str, float], predictions: "pd.DataFrame") -> Iterator[str]:
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    yield "## Results"
    yield ""
    yield f"On {metrics['images']:,} test images, which nothing else was decided by:"
    yield ""
    yield "| figure | value |"
    yield "|---|---|"
    yield f"| accuracy | {100 * metrics['accuracy']:.2f} %, 95 % interval {100 * low:.2f} to {100 * high:.2f} % |"
    told = {"accuracy", "accuracy_low", "accuracy_high", "images"}
    for name, value in metrics.items():
        if name not in told and isinstance(value, int | float):
            yield f"| {escape(name)} | {value:.4f} |"
    recall = (predictions["label"] == predictions["predicted"]).groupby(predictions["label"]).agg(["mean", "size"])
    # By share, then by name, so that equal ones have an order.
    weakest = recall.reset_index().sort_values(["mean", "label"])[:_WEAKEST]
    yield ""
    yield "Classes of which the least share was recognised:"
    yield ""
    yield "| class | recognised | test images |"
    yield "|---|---|---|"
    for label, share, count in weakest.itertuples(index=False):
        yield f"| {escape(label)} | {100 * share:.1f} % | {count:,} |"


def _training(history: "pd.DataFrame") -> Iterator[str]:
    best = history.iloc[int(history["val_loss"].to_numpy().argmin())]
    yield "## Training"
    yield ""
    yield f"{len(history):,} epochs from random weights unless `params.yaml` of the same commit, which has all settings, says"
    yield f"otherwise. The weights are those of epoch {int(best['epoch'])}, with the least loss on the validation split"
    yield f"({best['val_loss']:.4f}, accuracy {100 * best['val_accuracy']:.2f} %)."


def _use(shape: tuple[int, int, int]) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield _USE.format(size=shape[0])


_USE = """\
    dvc artifacts get URL resnet           # the file, of the last version that `gto register resnet` made a tag for
    train-resnet predict PATH...        # classes and probabilities of image files
    train-resnet export --to onnx       # for other programs, with preprocessing and names of classes inside

An image is turned upright as its EXIF says, made RGB of 8 bits, with white where it is transparent; its short side is
resized to {size} pixels by bicubic interpolation with antialiasing, and the middle is kept. Values are normalised by the
means and deviations in `resnet/network/normalisation.py`. Outputs are logits; softmax makes probabilities of them.

Exports take RGB images of 8 bits, of any size, and do all of that from the resizing on. The SavedModel also takes encoded
JPEG, PNG, GIF and BMP files, decoded by TensorFlow, which does not turn photographs upright and decodes CMYK, 16 bits and
some palettes otherwise. In a `.keras` and a `.tflite` export, `class_names.json` is a member of the zip archive."""


def _limits(data: DataFacts) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- The figures hold for images such as those of the data, and for no others."
    yield "- Every image gets one of the classes, whatever it shows."
    yield "- A probability is what the network says of itself, not how often it is right."
    odd = {name: count for name, count in data.flags.items() if name}
    if odd:
        yield f"- Of the data's files some are peculiar, which decoding settled: {_counts(odd)}."
    yield "- What the network is meant for, who the data are of, and under which licence, no run can know: whoever gives it"
    yield "  away should add it here."


def _counts(counts: Mapping[str, int]) -> str:
    """The most frequent first, then by name."""
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {escape(name)}" for name, count in items) or "none"


def escape(text: str) -> str:
    """Text as Markdown shows it, in one line: names of classes are folder names, and may be anything."""
    printable = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return _SPECIAL.sub(r"\\\1", printable)
