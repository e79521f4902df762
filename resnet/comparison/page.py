"""An HTML page that compares two runs. It is a single file that loads nothing from the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet.comparison.lines import curves
from resnet.comparison.paired_comparison import ClassChange, PairedComparison
from resnet.core.words import agreeing
from resnet.pictures.pages import environment

MIRROR = "evaluate.mirror"  # a parameter
WITH_MIRROR = f"with each image's mirror image (`{MIRROR}`), which alone can change the accuracy"
_MAX_IMAGES = 1000  # gained, and as many lost; a row is 0.2 kB


@dataclass(frozen=True)
class Image:
    """A test image that only one of two networks predicts correctly.

    Attributes:
        path: the file.
        label: its class.
        before: the prediction of the first network.
        before_probability: its probability.
        after: the prediction of the second network.
        after_probability: its probability.
    """

    path: str
    label: str
    before: str
    before_probability: float
    after: str
    after_probability: float


@dataclass(frozen=True)
class Comparison:
    """The differences between two runs.

    Attributes:
        first: the name of the first run.
        second: the name of the second run.
        paired: the comparison of their accuracies.
        metrics: by name, the values of both runs.
        parameters: by name, the values of both runs where they differ; None if a run does not have the parameter.
        code: the source files that differ.
        classes: the classes that gained or lost images.
        gained: the images that only the second network predicts correctly.
        lost: the images that only the first network predicts correctly.
        histories: the epochs of both runs, with the columns epoch, val_loss and val_accuracy; empty if they are not known.
        measure: the accuracy's name: "exact-match accuracy" if images have several labels each.
    """

    first: str
    second: str
    paired: PairedComparison
    metrics: Mapping[str, tuple[float, float]]
    parameters: Mapping[str, tuple[Any, Any]]
    code: Sequence[str]
    classes: Sequence[ClassChange]
    gained: Sequence[Image]
    lost: Sequence[Image]
    histories: Sequence[Sequence[Mapping[str, float]]] = ()
    measure: str = "accuracy"

    @property
    def conclusion(self) -> str:
        """The meaning of the interval, in a sentence."""
        if self.paired.low > 0:
            return "The second network is significantly better."
        if self.paired.high < 0:
            return "The second network is significantly worse."
        these = agreeing(self.paired.images, "this image", f"these {self.paired.images:,} images")
        return f"There is no significant difference on {these}: the interval contains zero."

    @property
    def testing(self) -> str:
        """Says that only one of the two was tested with mirror images, in a sentence; empty if they were tested alike."""
        one, other = self.parameters.get(MIRROR, (None, None))
        return f"Only the {'first' if one else 'second'} was tested {WITH_MIRROR}." if bool(one) != bool(other) else ""


def render_comparison(found: Comparison) -> str:
    """The page as HTML."""
    template = environment(Path(__file__).parent).get_template("comparison.html")
    return template.render(
        found=found,
        paired=found.paired,
        max_images=_MAX_IMAGES,
        names=[found.first, found.second],
        loss=curves(found.histories, "val_loss"),
        accuracy=curves(found.histories, "val_accuracy", most=1),
    )
