"""What `advise` recommends: recipes by kind of images, the networks that it considers, and rules for what the data decide.

An entry or a rule that rests on a figure of `docs/recipes.md` or `README.md` says so. One that does not is marked
`measured=False`: it names the measurement that is missing, and keeps to the value that can do the least harm. Those for a
parameter that `params.yaml` does not have are skipped.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from resnet.core.words import agreeing, counted

if TYPE_CHECKING:
    from commands.advice.data_facts import DataFacts


MOST = 100  # epochs; no figure of this project is about a longer run
_ENOUGH = 20  # epochs on small images
# Epochs on photographs of at most so many pixels, from docs/recipes.md. ResNet-50 with 26 had 77.4 % in 6 minutes on clothes at
# 64 pixels, ResNet-18 with 45 had 74.5 % in 5. Of 96 pixels and 48 epochs, 128 and 32, 160 and 21 in the same 15 minutes, the
# second was best. In 60 minutes, 160 pixels and 85 epochs were better than 224 and 45.
_ENOUGH_AT = {64: _ENOUGH, 128: 30, 160: 50, 224: MOST}
FEWEST = 5  # epochs of the smallest run that makes sense: those of the table of MNIST in docs/recipes.md
SIZES = (224, 192, 160, 128, 96, 64)  # for photographs, in pixels
RARE = 10  # how many times as many images the most frequent class has; the tables of rare classes are about 10 to 1
ENOUGH_VALIDATION = 50  # images; each is 2 % of the accuracy by which the epoch is chosen
_CROPS_FROM = 50  # epochs on photographs; with 11 crops cost accuracy, with 25 they showed no effect
_LEAST_STEPS = 4  # in an epoch


@dataclass(frozen=True)
class Entry:
    """A value of a recipe, why, and whether a figure of this project supports it."""

    value: Any
    why: str
    measured: bool = True


Recipe = Mapping[str, Entry]

# Smaller images first: what was measured of them on photographs, see docs/recipes.md.
_GROWING_FROM = 96  # pixels of the last size
_GROWING_IMAGES = 3_000  # for training: 3,068 of clothes had the gain, about 180 in one run a loss

# The recipes, by parameter. This is the place to change when docs/recipes.md gets new figures: `python -m benchmarks.recipes
# photographs` measures all of these parameters and train.optimizer, train.schedule, train.learning_rate and evaluate.mirror.
# `train.size_schedule` and `preprocess.training_size` are shares of `preprocess.image_size`. `train.flip` holds where mirror
# images look like the data.
_ONE_SIZE = {
    "train.size_schedule": Entry([], "smaller images in the first epochs: not measured", measured=False),
    "preprocess.training_size": Entry(None, "crops from larger images: not measured", measured=False),
}
PHOTOGRAPHS: Recipe = _ONE_SIZE | {
    "train.size_schedule": Entry(
        [0.5, 0.75, 1.0],
        "with flips, smaller images first gained 4.6 and 5.1 points on photographs of clothes in 15 minutes at 128 pixels, two "
        "seeds; alone they showed no effect in 5 minutes at 96 pixels (1.7 ± 3.4 points more)",
    ),
    "train.flip": Entry(
        True,
        "flips alone showed no effect on photographs of clothes in 25 epochs (2.9 ± 6.3 points more); longer: not measured",
        measured=False,
    ),
    "train.crop": Entry(
        0.35,
        "photographs of clothes had their best result with crops, 87.4 % in 85 epochs; that long without: not measured; in 25 "
        "epochs crops with flips showed no effect (0.6 ± 5.0 points less)",
        measured=False,
    ),
}
_NO_CROP = Entry(
    1.0,
    "crops with flips cost 5 and 7 points on photographs of clothes in 11 epochs, with two seeds, and showed no effect in 25",
)
SMALL_IMAGES: Recipe = _ONE_SIZE | {
    "train.size_schedule": Entry([], "smaller images first showed no gain on CIFAR-10 in 38 epochs"),
    "train.flip": Entry(True, "no effect shown on CIFAR-10 in 28 epochs; longer runs: not measured", measured=False),
    "train.crop": Entry(1.0, "crops showed no gain on CIFAR-10 in 27 epochs; longer runs: not measured", measured=False),
}
SHORT: Recipe = _ONE_SIZE | {  # fewer than _ENOUGH epochs on small images
    "train.flip": Entry(False, "in runs of 10 epochs flips showed no gain on CIFAR-10 (-1.4 ± 1.4 points)"),
    "train.crop": Entry(1.0, "crops cost 0.8 to 1.4 points on small images in runs of 5 to 10 epochs"),
}


@dataclass(frozen=True)
class Network:
    """A network and the size of its images, in pixels. `stem` is that of `params.yaml`."""

    depth: int
    stem: str
    size: int

    def values(self) -> dict[str, Any]:
        """The parameters that choose it."""
        return {"preprocess.image_size": self.size, "build.depth": self.depth, "build.stem": self.stem}


@dataclass(frozen=True)
class Case:
    """What the rules decide by.

    Attributes:
        data: the images.
        base: `params.yaml`, by name.
        network: the one that was chosen.
        epochs: that fit.
    """

    data: "DataFacts"
    base: Mapping[str, Any]
    network: Network
    epochs: int


@dataclass(frozen=True)
class Choice:
    """A value for a parameter, why, and whether a figure of this project supports it."""

    name: str
    value: Any
    why: str
    measured: bool = True


def enough(data: "DataFacts", network: Network) -> int:
    """The epochs without which the time is better spent on smaller images or a smaller network."""
    return _ENOUGH if data.are_small else next(epochs for size, epochs in _ENOUGH_AT.items() if network.size <= size)


def candidates(data: "DataFacts", base: Mapping[str, Any]) -> list[Network]:
    """The networks to consider, the best first: the first one with `enough` epochs in the time is taken.

    Larger images and ResNet-50 come first.
    """
    if base["build.weights"] != "builtin/random":  # the weights fit one network
        kept = base["build.depth"], base["build.stem"]
        return [Network(*kept, size) for size in (_small(data) if data.are_small else _large(data))]
    if not data.are_small:
        return [*(Network(50, "large", size) for size in _large(data)), Network(18, "large", 64), Network(18, "large", 32)]
    (size,) = _small(data)
    # Images that are enlarged have no detail that a stem of full resolution could use.
    fine = [Network(18, "small", size)] if 2 * data.short_side > size else []
    return [*fine, Network(50, "large", size), Network(18, "large", size)]


def _large(data: "DataFacts") -> list[int]:
    return [size for size in SIZES if size <= max(data.short_side, min(SIZES))]


def _small(data: "DataFacts") -> list[int]:
    """The size of the originals, in steps of 8 pixels; at least 32."""
    return [max(32, 8 * math.ceil(data.short_side / 8))]


def batch_size(data: "DataFacts", base: Mapping[str, Any]) -> int:
    """The batch size of `params.yaml`, or a smaller power of 2 if an epoch would have fewer than `_LEAST_STEPS` steps."""
    given: int = base["train.batch_size"]
    accumulate = base["train.accumulate"]
    parts: int = base["train.devices"] * (1 if accumulate == "auto" else accumulate)
    if data.images[0] >= _LEAST_STEPS * given:
        return given
    fitting: int = 2 ** int(math.log2(max(2, data.images[0] // _LEAST_STEPS)))
    return max(2, parts, fitting - fitting % parts)


def decide(case: Case) -> list[Choice]:
    """A choice for each parameter that has a rule."""
    return [choice for rule in RULES for choice in [rule(case)] if choice is not None and choice.name in case.base]


def _image_size(case: Case) -> Choice:
    data, size = case.data, case.network.size
    if data.are_small:
        why = f"the originals have {data.short_side} pixels, and the networks here are measured from 32 pixels"
        return Choice("preprocess.image_size", size, why)
    why = f"the largest size at which enough epochs fit into the time, here {enough(data, case.network)}"
    if size >= min(max(SIZES), data.short_side):
        why = "the largest size that is considered for these originals"
    if case.epochs < enough(data, case.network):
        why = f"a size at which {_fitting(case.epochs)} into the time"
    equal = (
        "photographs of clothes had their best result in 15 minutes with 128 pixels and 32 epochs, in 60 minutes with 160 and "
        "85; other times: not measured"
    )
    return Choice("preprocess.image_size", size, f"{why}; {equal}", measured=False)


def _depth(case: Case) -> Choice:
    if case.base["build.weights"] != "builtin/random":
        return Choice("build.depth", case.network.depth, "as in params.yaml, because build.weights fits this network only")
    if case.network.depth == 50:
        why = "the network of the results in README.md"
        return Choice("build.depth", 50, why)
    return Choice(
        "build.depth",
        case.network.depth,
        "shorter, so that more epochs fit into the time; not measured against 50",
        measured=False,
    )


def _stem(case: Case) -> Choice:
    if case.base["build.weights"] != "builtin/random":
        return Choice("build.stem", case.network.stem, "as in params.yaml, because build.weights fits this network only")
    if case.network.stem == "small":
        gain = "with 27 epochs it gained 6.1 ± 2.3 points on CIFAR-10, with 2 it lost 13"
        why = f"{_fitting(case.epochs)} even with a stem that keeps small images at full size; {gain}"
        return Choice("build.stem", "small", why)
    if not case.data.are_small:
        return Choice("build.stem", case.network.stem, "the stem of the results in README.md")
    return Choice(
        "build.stem",
        case.network.stem,
        "the small stem takes many times as long; where 1 or 2 epochs fit, it lost 7 to 22 points",
    )


def _fitting(epochs: int) -> str:
    return f"{counted(epochs, 'epoch')} {agreeing(epochs, 'fits', 'fit')}"


def _epochs(case: Case) -> Choice:
    why = "as many as fit into the time" if case.epochs < MOST else f"{MOST} at most: longer runs are not measured"
    return Choice("train.epochs", case.epochs, why)


def _batch_size(case: Case) -> Choice:
    size = batch_size(case.data, case.base)
    if size == case.base["train.batch_size"]:
        return Choice("train.batch_size", size, "as in params.yaml; other sizes: not measured", measured=False)
    images = case.data.images[0]
    few = f"{counted(images, 'training image')} {agreeing(images, 'makes', 'make')} too few steps"
    return Choice("train.batch_size", size, f"{few} of {case.base['train.batch_size']}; not measured", measured=False)


def _flip(case: Case) -> Choice:
    mirror = case.data.mirror
    if mirror.alike is False:
        if not case.data.are_small:
            return Choice("train.flip", False, f"{mirror.sentence()}; flips there: not measured yet", measured=False)
        return Choice("train.flip", False, f"{mirror.sentence()}; flips cost 2.6 points on digits and 3.9 on MNIST")
    if mirror.alike is None:
        why = f"{mirror.sentence()}; set it to true if a mirror image means the same"
        return Choice("train.flip", False, why, measured=False)
    entry = recipe(case)["train.flip"]
    return Choice("train.flip", entry.value, f"{mirror.sentence()}; {entry.why}", entry.measured)


def _crop(case: Case) -> Choice:
    if case.data.mirror.alike is False:  # as with writing, where a part may mean something else
        if not case.data.are_small:
            why = "a part may mean something else, as a mirror image does; not measured yet"
            return Choice("train.crop", 1.0, why, measured=False)
        return Choice("train.crop", 1.0, "crops cost 0.8 points on digits and 1.4 on MNIST")
    return _from_recipe(case, "train.crop")


def _size_schedule(case: Case) -> Choice:
    choice = _from_recipe(case, "train.size_schedule")
    return replace(choice, value=size_schedule(case.data, case.network, case.epochs))


def _training_size(case: Case) -> Choice:
    choice = _from_recipe(case, "preprocess.training_size")
    return choice if choice.value is None else replace(choice, value=_pixels(choice.value, case.network.size))


def _from_recipe(case: Case, name: str) -> Choice:
    entry = recipe(case)[name]
    return Choice(name, entry.value, entry.why, entry.measured)


def recipe(case: Case) -> Recipe:
    """The recipe for a case."""
    return recipe_of(case.data, case.network, case.epochs)


def recipe_of(data: "DataFacts", network: Network, epochs: int) -> Recipe:
    """The recipe for a kind of images and a length of run."""
    if data.are_small:
        return SMALL_IMAGES if epochs >= _ENOUGH else SHORT
    photographs = PHOTOGRAPHS if epochs >= _CROPS_FROM else {**PHOTOGRAPHS, "train.crop": _NO_CROP}
    grows = network.size >= _GROWING_FROM and data.images[0] >= _GROWING_IMAGES
    return photographs if grows else {**photographs, "train.size_schedule": _ONE_SIZE["train.size_schedule"]}


def size_schedule(data: "DataFacts", network: Network, epochs: int) -> list[int]:
    """The sizes of training images in equal shares of the epochs; empty if all have the size of the network."""
    shares = recipe_of(data, network, epochs)["train.size_schedule"].value
    return [_pixels(share, network.size) for share in shares] if epochs >= len(shares) else []


def _pixels(share: float, size: int) -> int:
    """A share of a size as a multiple of 8 pixels."""
    return max(32, 8 * round(share * size / 8))


def _balance(case: Case) -> Choice | None:
    data = case.data
    if data.multi_label:
        why = "weights and sampling are for images with one label each"
        return None if case.base["train.balance"] == "none" else Choice("train.balance", "none", why)
    if data.largest < RARE * max(data.rarest, 1):
        return None  # smaller differences: not measured
    why = f"the most frequent class has {data.largest / max(data.rarest, 1):.0f} times as many images as the rarest"
    if not data.are_small:
        return Choice("train.balance", "weights", f"{why}; on photographs: not measured yet", measured=False)
    gained = "weights gained 9.4 ± 3.1 points on digits and 1.9 ± 1.3 on MNIST, where all classes count the same"
    return Choice("train.balance", "weights", f"{why}; at 10 to 1 {gained}")


def _validation_share(case: Case) -> Choice | None:
    share = case.data.validation_share
    if share == case.base["preprocess.validation_share"]:
        return None
    count = case.data.images[1]
    why = f"{case.base['preprocess.validation_share']:g} leaves too few images to choose the epoch and the temperature by"
    if count < ENOUGH_VALIDATION:
        why += f"; with the larger share too, {few_validation(count)}"
    return Choice("preprocess.validation_share", share, f"{why}; not measured", measured=False)


def few_validation(images: int) -> str:
    """What a small validation split means."""
    if images == 1:
        return "1 validation image is too few: it alone chooses the epoch and the temperature"
    return (
        f"{images:,} validation images are few: they choose the epoch and the temperature, and a single one is "
        f"{100 / max(images, 1):.0f} % of their accuracy"
    )


def _weights(case: Case) -> Choice:
    weights = case.base["build.weights"]
    if weights != "builtin/random":
        return Choice("build.weights", weights, "as in params.yaml")
    if not case.data.are_small:
        why = "starting from another network, or from ImageNet's weights, which are a download: not measured yet on photographs"
        return Choice("build.weights", weights, why, measured=False)
    why = (
        "starting from another network gained 1.4 ± 0.5 points where that knew more of the same kind, and nothing elsewhere; "
        "ImageNet: not measured, and its weights are a download"
    )
    return Choice("build.weights", weights, why)


RULES: tuple[Callable[[Case], Choice | None], ...] = (
    _image_size,
    _training_size,
    _validation_share,
    _depth,
    _stem,
    _weights,
    _epochs,
    _size_schedule,
    _batch_size,
    _flip,
    _crop,
    _balance,
)
