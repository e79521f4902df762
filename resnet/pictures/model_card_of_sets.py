"""The parts of the model card that are different if images have several labels each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_WEAKEST = 5  # classes
OUTPUTS = """\
The outputs are logits. The logistic
function converts each of them to the probability that the image has this class, whatever else it shows. An image has the
classes whose probability is at least the threshold of the class, which is fitted on the validation images and in the file."""
ANY_NUMBER = "- An image can get any number of the classes, and none. Whether their combination makes sense is not checked."
GAP = "the probability of a class and the share of images that have it differ by"
NOTES = {
    "micro_f1": ", over all pairs of image and class",
    "calibration_error": ", the mean gap between probability and share of images that have the class, over all pairs",
    "loss": ", binary cross-entropy in nats, mean over images and classes",
    "calibration_error_before": ", without temperature and offset",
    "loss_before": ", without temperature and offset",
}


def headlines(metrics: Mapping[str, float], accuracy: float) -> Iterator[str]:
    """The first rows of the table of figures: mean average precision and exact-match accuracy.

    Args:
        metrics: the figures of `resnet.evaluation.multi_label.summarise_sets`, and average_precision_classes.
        accuracy: the share of images whose whole set is right.
    """
    if "mean_average_precision" in metrics:
        low, high = (metrics.get(f"mean_average_precision_{end}") for end in ("low", "high"))
        interval = f", 95 % interval {low:.4f} to {high:.4f}" if low is not None and high is not None else ""
        classes = int(metrics["average_precision_classes"])
        figure = f"{metrics['mean_average_precision']:.4f}{interval}"
        yield f"| mean average precision | {figure}; mean of the classes that have test images: {classes:,} |"
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    interval = f"95 % interval {100 * low:.2f} to {100 * high:.2f} %"
    yield f"| exact-match accuracy | {100 * accuracy:.2f} %, {interval}; the share of images whose whole set is right |"


def offset_added(network: Mapping[str, object]) -> str:
    """What follows the temperature in a sentence, from the arguments of `ResNet`."""
    offset = network.get("offset")
    if not isinstance(offset, float) or not offset:
        return ""
    return f", and {abs(offset):.3g} was {'added to' if offset > 0 else 'subtracted from'} them"


def weakest_classes(per_class: "pd.DataFrame", escape: Callable[[str], str]) -> Iterator[str]:
    """The classes with the lowest average precision, then by name.

    Args:
        per_class: one row for each class: label, support, f1, threshold and average_precision.
        escape: makes text of a name.
    """
    tested = per_class[per_class["support"] > 0].sort_values(["average_precision", "label"])[:_WEAKEST]
    yield "The classes with the lowest average precision:"
    yield ""
    yield "| class | average precision | F1 | threshold | test images |"
    yield "|---|---|---|---|---|"
    columns = ["label", "average_precision", "f1", "threshold", "support"]
    for label, precision, f1, threshold, images in tested[columns].itertuples(index=False):
        yield f"| {escape(label)} | {precision:.3f} | {f1:.3f} | {threshold:.3f} | {images:,} |"


def argument(name: str, value: object) -> str:
    """The value of an argument of `ResNet` as text; of the thresholds only their range."""
    if name == "thresholds" and isinstance(value, Sequence):
        low, high = f"{min(value):.3g}", f"{max(value):.3g}"
        return f"one for each class, from {low} to {high}" if low != high else f"{low} for each class"
    return str(value)
