"""Occlusion maps of a network that a formula defines, and of a trained one: where the object is, and what covering costs."""

import keras
import numpy as np
import numpy.typing as npt
import pytest

from resnet.evaluation.occlusion import CELLS, Occlusion, occlude
from resnet.network.folding import Network, folded_network
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise

SIDE, OBJECT = 32, 8


def draw(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Images of noise with a small cross (class 0) or ring (class 1) somewhere; also the corners of these objects."""
    generator = np.random.default_rng(seed)
    images = generator.integers(90, 130, (count, SIDE, SIDE, 3))
    labels, places = generator.integers(0, 2, count), generator.integers(0, SIDE - OBJECT + 1, (count, 2))
    middle = np.abs(np.arange(OBJECT) - 3.5)
    cross = np.abs(middle[:, None] - middle) < 0.9
    ring = np.abs(np.hypot(middle[:, None], middle) - 3) < 0.8
    for image, label, (row, column) in zip(images, labels, places, strict=True):
        image[row : row + OBJECT, column : column + OBJECT][ring if label else cross] = 240
    return images.astype(np.uint8), labels, places


@pytest.fixture(scope="module")
def trained() -> Network:
    """A small network that tells crosses from rings."""
    keras.utils.set_random_seed(0)
    model = ResNet((SIDE, SIDE, 3), 2, stem="small", blocks=(1, 1), width=8, depth=18, momentum=0.8)
    model.compile(keras.optimizers.Adam(0.005), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels, _ = draw(1024, 1)
    model.fit(np.asarray(normalise(images)), labels, batch_size=64, epochs=6, verbose=0)
    return folded_network(model)


def probabilities(network: Network, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    odds = np.exp(network(images).astype(np.float64))
    return odds / odds.sum(axis=1, keepdims=True)


def test_covering_what_glows_costs_more_than_covering_as_much_elsewhere(trained: Network) -> None:
    images, labels, places = draw(64, 2)
    before = probabilities(trained, images)
    answers = before.argmax(axis=1)
    assert (answers == labels).mean() > 0.95
    found = occlude(trained, images, answers, batch_size=50)
    # The grey cover is not the one with which the maps were made.
    bright = np.argsort(-found.fall.reshape(64, -1), axis=1)[:, :6]
    elsewhere = np.stack([np.random.default_rng(n).choice(np.setdiff1d(np.arange(64), row), 6) for n, row in enumerate(bright)])
    falls = {}
    for name, cells in (("bright", bright), ("elsewhere", elsewhere)):
        mask = np.zeros((64, CELLS * CELLS), bool)
        np.put_along_axis(mask, cells, True, axis=1)
        large = mask.reshape(64, CELLS, CELLS).repeat(SIDE // CELLS, axis=1).repeat(SIDE // CELLS, axis=2)
        after = probabilities(trained, np.where(large[..., None], 110, images).astype(np.uint8))
        falls[name] = (before - after)[np.arange(64), answers]
    assert falls["bright"].mean() > falls["elsewhere"].mean() + 0.2
    # The brightest cell touches the object, which covers at most nine of the 64 cells.
    peak = np.stack(np.unravel_index(found.fall.reshape(64, -1).argmax(axis=1), (CELLS, CELLS)), axis=1) * SIDE // CELLS
    touching = ((peak > places - SIDE // CELLS) & (peak < places + OBJECT)).all(axis=1)
    assert touching.mean() > 0.9


def test_the_map_of_a_network_that_looks_at_one_place_is_at_that_place() -> None:
    def bright_corner(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The log-odds of class 1 are the mean of the top left cell, from -2 to 2."""
        level = images[:, :4, :4].mean(axis=(1, 2, 3)) / 64 - 2
        return np.stack([np.zeros_like(level), level], axis=1).astype(np.float32)

    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[:, :4, :4] = 255
    found = occlude(bright_corner, images, np.array([1, 0]), batch_size=1)
    before = 1 / (1 + np.exp(2 - 255 / 64))
    # One square covers the cell; it also covers its neighbours, which each of them shares with 1 or 3 other squares.
    assert found.fall[0, 0, 0] == pytest.approx(before - found.lowest[0], abs=1e-6)
    assert found.lowest[0] < before - 0.3
    assert (found.fall[0, 0, 1], found.fall[0, 1, 1]) == pytest.approx((found.fall[0, 0, 0] / 2, found.fall[0, 0, 0] / 4))
    assert not found.fall[0, 2:].any()
    assert not found.fall[0, :, 2:].any()
    np.testing.assert_allclose(found.fall[1], -found.fall[0], atol=1e-6)  # for class 0 it is the other way round
    assert found.lowest[1] == pytest.approx(1 - before)  # covering only raises it


@pytest.mark.parametrize(("shape", "count"), [((32, 32), 0), ((33, 47), 3), ((8, 8), 1)])
def test_every_size_has_a_map(shape: tuple[int, int], count: int) -> None:
    def constant(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.zeros((len(images), 3), np.float32)

    done: list[int] = []
    images = np.random.default_rng(0).integers(0, 256, (count, *shape, 3), dtype=np.uint8)
    found = occlude(constant, images, np.zeros(count, np.int64), batch_size=2, on_batch=done.append)
    assert isinstance(found, Occlusion)
    assert found.fall.shape == (count, CELLS, CELLS)
    assert not found.fall.any()
    assert found.lowest.tolist() == pytest.approx([1 / 3] * count)
    assert sum(done) == count


def test_an_image_does_not_change_the_map_of_another(trained: Network) -> None:
    images, _, _ = draw(5, 3)
    targets = np.zeros(5, np.int64)
    together, apart = (occlude(trained, images, targets, size).fall for size in (5, 2))
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_with_several_labels_a_probability_does_not_depend_on_other_classes() -> None:
    def two_corners(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The logit of class 0 is the mean of the top left cell, from -2 to 2, that of class 1 of the bottom right one."""
        corners = images[:, :4, :4], images[:, -4:, -4:]
        return np.stack([corner.mean(axis=(1, 2, 3)) / 64 - 2 for corner in corners], axis=1).astype(np.float32)

    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[:, :4, :4] = images[:, -4:, -4:] = 255
    found = occlude(two_corners, images, np.array([0]), batch_size=1, multi_label=True)
    assert found.fall[0, 0, 0] == pytest.approx(1 / (1 + np.exp(2 - 255 / 64)) - found.lowest[0], abs=1e-6)
    assert found.lowest[0] < 0.6
    assert not found.fall[0, 4:, 4:].any()  # with softmax, covering the other class would raise this one
    assert occlude(two_corners, images, np.array([0]), batch_size=1).fall[0, -1, -1] < -0.1
