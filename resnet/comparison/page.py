"""One page that sets two runs side by side, and opens from disk without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet.comparison.paired_comparison import ClassChange, PairedComparison
from resnet.pictures.pages import environment

_MOST_IMAGES = 1000  # of those gained and of those lost; a row is 0.2 kB


@dataclass(frozen=True)
class Image:
    """A test image on which one of two networks is right.

    Attributes:
        path: of the file.
        label: its class.
        before: the first network's answer.
        before_probability: that it gave it.
        after: the second network's answer.
        after_probability: that it gave it.
    """

    path: str
    label: str
    before: str
    before_probability: float
    after: str
    after_probability: float


@dataclass(frozen=True)
class Comparison:
    """What sets two runs apart.

    Attributes:
        first: name of the first run.
        second: name of the second run.
        paired: their hits on the same images.
        metrics: by name, of both.
        parameters: that differ, by name, of both; None where a run has none of that name.
        code: source files that differ.
        classes: that changed.
        gained: images on which only the second is right.
        lost: images on which only the first is right.
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

    @property
    def conclusion(self) -> str:
        """What the interval says, in a sentence."""
        if self.paired.low > 0:
            return "The second is better, by more than chance explains."
        if self.paired.high < 0:
            return "The second is worse, by more than chance explains."
        return f"These {self.paired.images:,} images do not tell the two apart: the interval contains zero."


def render_comparison(found: Comparison) -> str:
    """The page as HTML."""
    template = environment(Path(__file__).parent).get_template("comparison.html")
    return template.render(found=found, paired=found.paired, most=_MOST_IMAGES)
