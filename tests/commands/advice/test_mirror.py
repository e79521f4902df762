"""Whether mirror images look like the data."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

from commands.advice.mirror import SIDE, MirrorTest, try_mirrors


def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    found = load_digits()
    grey = np.kron(found.images[:400] * 15, np.ones((2, 2))).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=3), found.target[:400].astype(np.int64)


def shades(count: int, *, arrows: bool = False) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Noise around a shade for each of four classes; with arrows, the last two differ only in the side that is dark."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 4
    images = generator.normal(60 + 40 * labels[:, None, None, None], 25, (count, SIDE, SIDE, 3))
    if arrows:
        images[labels >= 2] += 30 - 40 * (labels[labels >= 2] - 2)[:, None, None, None]
        images[labels == 2, :, : SIDE // 2] -= 60
        images[labels == 3, :, SIDE // 2 :] -= 60
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


def test_mirrored_digits_are_not_digits() -> None:
    result = try_mirrors(*digits(), list("0123456789"))
    assert result.alike is False
    assert result.hits > 0.9 * result.images
    assert result.mirrored_hits < 0.5 * result.images
    assert {"2", "3", "7"} <= {*result.changed}
    assert not {"0", "8"} & {*result.changed}


def test_mirrored_noise_is_noise() -> None:
    result = try_mirrors(*shades(400), ["a", "b", "c", "d"])
    assert (result.alike, result.changed) == (True, [])
    assert result.hits > 300
    assert abs(result.hits - result.mirrored_hits) < 40


def test_two_classes_that_are_mirror_images_of_each_other_are_named() -> None:
    result = try_mirrors(*shades(400, arrows=True), ["dark", "bright", "left", "right"])
    assert (result.alike, result.changed) == (False, ["left", "right"])
    assert "least in 'left', 'right'" in result.sentence()


@pytest.mark.parametrize(
    ("count", "why"),
    [(40, "fewer than 50 right answers say too little"), (400, "hardly better than one constant answer")],
)
def test_where_the_classifier_knows_nothing_the_test_cannot_tell(count: int, why: str) -> None:
    images = np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    result = try_mirrors(images, np.arange(count) % 4, ["a", "b", "c", "d"])
    assert result.alike is None
    assert result.sentence().startswith("the test of mirror images cannot tell: ")
    assert result.sentence().endswith(f" of their mirror images, {why}")


def test_a_class_with_one_image_is_no_fault() -> None:
    images, labels = shades(81)
    labels[80] = 4
    assert try_mirrors(images, labels, ["a", "b", "c", "d", "e"]).images == 81


def test_the_sentence_has_both_shares() -> None:
    sentence = MirrorTest(200, 100, 90, [], True).sentence()
    assert sentence == "a small classifier names 50 % of 200 images right, and 45 % of their mirror images"
