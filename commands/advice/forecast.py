"""How long a run will take: arithmetic on measured times."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

# Seconds that do not depend on the recipe, on 2 cores of an AMD EPYC that do nothing else. A machine that takes twice as long
# to start TensorFlow takes twice as long for these: on a busy machine the start took 15 s, `render` 13 s and DVC 52 s.
START = 2.1  # of TensorFlow
RENDER = 3.0  # the stage `render`
LAUNCH = 1.3  # DVC around one stage: it starts a shell and Python, hashes inputs and outputs, and writes `dvc.lock`
EXPERIMENT = 5.0  # `dvc exp run` itself
SAVE = 0.5  # the network is written or read once in `build`, `train` and `evaluate`
_STAGES = 6
_MAPS = 50  # runs of the network for each image with an occlusion map, see resnet/evaluation/occlusion.py


@dataclass(frozen=True)
class Timing:
    """What was measured with one network and one size of images, in seconds.

    Attributes:
        start: until TensorFlow is imported.
        model: to make the network.
        tracing: of the first step of training and the first of validation, beyond the time of later ones.
        step: one step of training.
        image: one image of validation.
    """

    start: float
    model: float
    tracing: float
    step: float
    image: float


class Counts(Protocol):
    """The numbers of images that the forecast needs: training, validation, test."""

    @property
    def images(self) -> tuple[int, int, int]:
        """By split."""
        ...


@dataclass(frozen=True)
class Forecast:
    """Seconds of each part of a run; `dvc` is what it adds to the stages."""

    preprocess: float
    build: float
    train: float
    evaluate: float
    render: float
    dvc: float

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.preprocess + self.build + self.train + self.evaluate + self.render + self.dvc

    @property
    def minutes(self) -> float:
        """Of the whole run."""
        return self.seconds / 60


def epoch_seconds(timing: Timing, data: Counts, batch_size: int) -> float:
    """The time of an epoch: full batches of training images, and all validation images."""
    training, validation, _ = data.images
    return training // batch_size * timing.step + validation * timing.image


def forecast(timing: Timing, data: Counts, *, epochs: int, batch_size: int, samples: int, preprocess: float) -> Forecast:
    """The time of a run.

    Args:
        timing: of its network and image size.
        data: numbers of images.
        epochs: of training.
        batch_size: of training.
        samples: test images with an occlusion map.
        preprocess: seconds of that stage; 0 if DVC has its result.
    """
    begin = timing.start + timing.model + SAVE
    pace = timing.start / START
    return Forecast(
        preprocess=preprocess,
        build=begin,
        train=begin + timing.tracing + epochs * epoch_seconds(timing, data, batch_size),
        evaluate=begin + (data.images[2] + _MAPS * min(samples, data.images[2])) * timing.image,
        render=pace * RENDER,
        dvc=pace * (EXPERIMENT + _STAGES * LAUNCH),
    )


def epochs_within(seconds: float, timing: Timing, data: Counts, *, batch_size: int, samples: int, preprocess: float) -> int:
    """The number of epochs that fit; 0 if there is no time for one. The arguments are those of `forecast`."""
    without = forecast(timing, data, epochs=0, batch_size=batch_size, samples=samples, preprocess=preprocess).seconds
    return max(0, int((seconds - without) / epoch_seconds(timing, data, batch_size)))


def over_sizes(timings: Sequence[Timing]) -> Timing:
    """The mean of equal shares of the epochs, in which training images have different sizes.

    Args:
        timings: of each share, in the order of training; one object for each size, whose step is compiled once.
    """
    different = list({id(timing): timing for timing in timings}.values())
    return Timing(
        max(timing.start for timing in timings),
        max(timing.model for timing in timings),
        sum(timing.tracing for timing in different),
        fmean(timing.step for timing in timings),
        fmean(timing.image for timing in timings),
    )


def between(smaller: tuple[int, Timing], larger: tuple[int, Timing], size: int) -> Timing:
    """The timing at a size between or beyond two measured ones: a constant and a part that grows with the number of pixels.

    Args:
        smaller: a size in pixels and its timing.
        larger: another size and its timing.
        size: height and width of the images.
    """
    (low, one), (high, other) = smaller, larger
    share = (size**2 - low**2) / (high**2 - low**2)

    def at(first: float, second: float) -> float:
        return max(first + share * (second - first), 0.1 * min(first, second))

    return Timing(
        max(one.start, other.start),
        max(one.model, other.model),
        max(one.tracing, other.tracing),
        at(one.step, other.step),
        at(one.image, other.image),
    )
