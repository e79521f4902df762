"""The rows of `benchmarks.recipes`: what each one changes in `params.yaml`. This is the only place where they are listed."""

from typing import Any

BASE = "as params.yaml"

_SMALL = {"build.stem": "small"}  # keeps the 32 pixels that the large stem divides by four
_GROWING = {"train.size_schedule": [16, 24, 32]}

# On small images, one part of the recipe at a time, and with the small stem also some together.
PARTS: dict[str, dict[str, Any]] = {
    BASE: {},
    "without label smoothing": {"train.label_smoothing": 0.0},
    "weight decay, 0.0001": {"train.weight_decay": 1e-4},
    "AdamW, weight decay 0.05": {"train.optimizer": "adamw", "train.weight_decay": 0.05},
    "without shifts": {"train.shift": 0.0},
    "flips": {"train.flip": True},
    "alternate flips": {"train.flip": "alternate"},
    "random crops of at least half": {"train.crop": 0.5},
    "TrivialAugment": {"train.trivial_augment": True},
    "mixup, alpha 0.2": {"train.mixup": 0.2},
    "CutMix, alpha 1": {"train.cutmix": 1.0},
    "moving average, 0.99": {"train.ema": 0.99},
    "balanced class weights": {"train.balance": "weights"},
    "variant D": {"build.variant": "D"},
    "growing sizes: 16, 24, 32": _GROWING,
    "small stem": _SMALL,
    "small stem, growing sizes: 16, 24, 32": _SMALL | _GROWING,
    "small stem, flips": _SMALL | {"train.flip": True},
    "small stem, flips, growing sizes: 16, 24, 32": _SMALL | _GROWING | {"train.flip": True},
    "small stem, flips, random crops of at least half": _SMALL | {"train.flip": True, "train.crop": 0.5},
    "small stem, flips, TrivialAugment": _SMALL | {"train.flip": True, "train.trivial_augment": True},
}


def photograph_parts(size: int) -> dict[str, dict[str, Any]]:
    """The rows for photographs.

    Args:
        size: `preprocess.image_size`, in pixels.
    """
    usual = {"train.crop": 0.35, "train.flip": True}
    alternate = usual | {"train.flip": "alternate"}
    growing = {"train.size_schedule": [_share(size, 0.5), _share(size, 0.75), size]}
    larger = {"preprocess.training_size": _share(size, 1.25)}
    # Four fifths of the epochs at a smaller size, the last fifth at that of the test (Touvron et al., "Fixing the train-test
    # resolution discrepancy", 2019): random crops show objects larger than the test does.
    fixed = {"train.size_schedule": [*4 * [_share(size, 0.8)], size]}
    one_cycle = {"train.optimizer": "sgd", "train.schedule": "one_cycle", "train.learning_rate": "auto"}
    mirror = {"evaluate.mirror": True}
    return {
        BASE: {},
        "flips": {"train.flip": True},
        "growing sizes": growing,
        "flips, growing sizes": growing | {"train.flip": True},
        "growing sizes, one-cycle SGD": growing | one_cycle,
        "crops of at least 0.35 and flips": usual,
        "the same, mirrored in the test": usual | mirror,
        "the same, alternate flips": alternate,
        "the same, growing sizes": usual | growing,
        "the same, larger training images": usual | larger,
        "the same, FixRes": usual | fixed,
        "the same, one-cycle SGD": usual | one_cycle,
        "alternate flips, growing sizes": alternate | growing,
        "alternate flips, growing sizes, mirrored in the test": alternate | growing | mirror,
        "alternate flips, growing sizes, larger training images": alternate | growing | larger,
        "alternate flips, growing sizes, larger training images, mirrored in the test": alternate | growing | larger | mirror,
        "alternate flips, growing sizes, one-cycle SGD": alternate | growing | one_cycle,
    }


def _share(size: int, share: float) -> int:
    """A share of a size as a multiple of 8 pixels, at least 32."""
    return max(32, 8 * round(share * size / 8))
