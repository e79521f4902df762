"""Augmentation: its operations, and that it is a function of (seed, epoch, image)."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.training.augmentation import DRAWS, Augmentation

IMAGES = np.random.default_rng(0).integers(1, 256, (6, 10, 12, 3), dtype=np.uint8)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image shifted with NumPy; its border is repeated."""
    height, width, _ = image.shape
    padded = np.pad(image, ((height, height), (width, width), (0, 0)), mode="edge")
    return padded[height - down : 2 * height - down, width - right : 2 * width - right]


def apply(augmentation: Augmentation, draws: list[list[float]]) -> np.ndarray:
    return np.asarray(augmentation(tf.constant(IMAGES[: len(draws)]), tf.constant(draws, tf.float32)))


def test_shifts_reach_the_requested_distance_in_all_directions() -> None:
    draws = [[0.0, 0.5, 0], [0.999, 0.5, 0], [0.5, 0.0, 0], [0.5, 0.999, 0], [0.5, 0.5, 0]]
    found = apply(Augmentation(shift=0.2), draws)  # 2 pixels of 10 down, 2 of 12 across
    for image, result, (down, right) in zip(IMAGES, found, [(2, 0), (-2, 0), (0, 2), (0, -2), (0, 0)], strict=False):
        np.testing.assert_array_equal(result, moved(image, down, right))


def test_all_shifts_are_equally_likely() -> None:
    draws = np.asarray(Augmentation().draw(20_000, 0, 1))[:, :1]
    image = tf.repeat(tf.reshape(tf.cast(tf.range(1, 11), tf.uint8), (1, 10, 1, 1)), 20_000, axis=0)
    shifted = np.asarray(Augmentation(shift=0.2)(image, tf.constant(np.pad(draws, ((0, 0), (0, 2)), constant_values=0.5))))
    counts = np.bincount(shifted[:, 5, 0, 0])  # the rows that were moved to row 5
    assert set(np.flatnonzero(counts)) == {4, 5, 6, 7, 8}
    assert np.abs(counts[4:] - 4000).max() < 250


def test_half_of_the_images_are_mirrored() -> None:
    found = apply(Augmentation(flip=True), [[0, 0, 0.49], [0, 0, 0.51]])
    np.testing.assert_array_equal(found[0], IMAGES[0, :, ::-1])
    np.testing.assert_array_equal(found[1], IMAGES[1])


def test_without_augmentation_images_do_not_change() -> None:
    np.testing.assert_array_equal(apply(Augmentation(), [[0.1, 0.9, 0.1]] * 6), IMAGES)


def test_draws_depend_on_seed_and_epoch_and_image_alone() -> None:
    draws = np.asarray(Augmentation().draw(100, seed=3, epoch=5))
    assert draws.shape == (100, DRAWS)
    np.testing.assert_array_equal(np.asarray(Augmentation().draw(100, seed=3, epoch=5)), draws)
    for seed, epoch in ((3, 6), (4, 5), (5, 3)):
        assert not np.intersect1d(np.asarray(Augmentation().draw(100, seed, epoch)), draws).size
    assert 0.45 < draws.mean() < 0.55


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4], [2]])
def test_the_augmentation_of_an_image_does_not_depend_on_its_batch(order: list[int]) -> None:
    augmentation = Augmentation(flip=True, shift=0.3)
    draws = np.asarray(augmentation.draw(6, 0, 1))
    together = np.asarray(augmentation(tf.constant(IMAGES), tf.constant(draws)))
    alone = np.asarray(augmentation(tf.constant(IMAGES[order]), tf.constant(draws[order])))
    np.testing.assert_array_equal(alone, together[order])


ALL = Augmentation(flip=True, shift=0.1, crop=0.3, trivial_augment=True, mixup=0.2, cutmix=1.0)


def test_the_first_draws_do_not_depend_on_the_other_operations() -> None:
    first, draws = np.asarray(Augmentation().draw(50, 3, 5)), np.asarray(ALL.draw(50, 3, 5))
    np.testing.assert_array_equal(draws[:, :DRAWS], first)
    assert draws.shape == (50, 15)
    assert (draws.min(), draws.max()) >= (0.0, 0.9)
    uniform = np.delete(draws, [11, 12], axis=1)  # the shares are not
    assert len(np.unique(uniform)) == uniform.size
    np.testing.assert_array_equal(np.asarray(ALL.draw(50, 3, 5)), draws)
    assert not np.intersect1d(np.asarray(ALL.draw(50, 3, 6)), uniform).size


def test_a_crop_is_sampled_bilinearly() -> None:
    # A ramp: each value tells where the pixel came from.
    rows, columns = np.meshgrid(np.arange(20) * 12, np.arange(24) * 10, indexing="ij")
    ramp = np.stack([rows, columns, rows], axis=2).astype(np.uint8)[np.newaxis]
    draws = np.zeros((1, 15), np.float32)
    draws[0, 3:7] = [0.0, 0.5, 0.5, 1.0]  # least area, square, halfway down, at the right
    found = np.asarray(Augmentation(crop=0.25)(tf.constant(ramp), tf.constant(draws)))[0].astype(float)
    np.testing.assert_allclose(found[:, 0, 0] / 12, np.linspace(0.25 * 19, 0.75 * 19, 20), atol=0.05)
    np.testing.assert_allclose(found[0, :, 1] / 10, np.linspace(0.5 * 23, 23, 24), atol=0.06)


def test_crops_have_the_requested_areas_and_ratios() -> None:
    rows, columns = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    ramp = np.stack([rows, columns, rows], axis=2).astype(np.uint8)
    draws = np.asarray(Augmentation(crop=0.1).draw(500, 0, 1))
    found = np.asarray(Augmentation(crop=0.1)(tf.constant(np.stack([ramp] * 500)), tf.constant(draws))).astype(float)
    heights, widths = (np.ptp(found[..., channel], axis=(1, 2)) / 39 for channel in (0, 1))
    assert 0.08 < (heights * widths).min() < 0.2
    assert (heights * widths).mean() == pytest.approx(0.55, abs=0.05)
    free = (heights < 0.95) & (widths < 0.95)
    ratios = np.log(widths / heights)[free]
    assert np.abs(ratios).max() < np.log(4 / 3) + 0.12  # one pixel is a large share of a small crop
    assert np.abs(ratios.mean()) < 0.05


def test_all_operations_keep_shape_and_type_and_do_not_depend_on_the_batch() -> None:
    draws = np.asarray(ALL.draw(6, 0, 1))
    together = ALL(tf.constant(IMAGES), tf.constant(draws))
    assert (together.dtype, together.shape) == (tf.uint8, IMAGES.shape)
    np.testing.assert_array_equal(np.asarray(ALL(tf.constant(IMAGES[4:]), tf.constant(draws[4:]))), np.asarray(together)[4:])


def ramps(count: int, side: int = 60) -> tf.Tensor:
    """Images whose red is the row and whose green is the column of each pixel, four a step."""
    rows, columns = np.meshgrid(np.arange(side) * 4, np.arange(side) * 4, indexing="ij")
    return tf.constant(np.stack([np.stack([rows, columns, rows], axis=2)] * count).astype(np.uint8))


def sides(found: tf.Tensor, side: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of what was cut out of `ramps`, as shares: the outermost pixels are half a pixel within."""
    values = np.asarray(found).astype(float)
    size = values.shape[1]
    stretch = size / (size - 1) / (4 * side)
    return tuple(np.ptp(values[..., channel], axis=(1, 2)) * stretch for channel in (0, 1))


def test_another_size_shows_the_whole_image() -> None:
    found = Augmentation()(ramps(2), tf.zeros((2, DRAWS)), 20)
    assert found.shape == (2, 20, 20, 3)
    height, width = sides(found)
    np.testing.assert_allclose([height, width], 1.0, atol=0.01)


def test_a_crop_is_the_same_part_of_the_image_at_any_size() -> None:
    augmentation = Augmentation(crop=0.3)
    draws = augmentation.draw(40, 0, 1)
    whole, small = (sides(augmentation(ramps(40), draws, size)) for size in (None, 30))
    # Without antialiasing the outermost pixels are those at the edge of the box, so the whole size needs no stretching.
    np.testing.assert_allclose(np.array(small), np.array(whole) * 59 / 60, atol=0.03)


def test_without_crops_the_centre_square_of_a_squeezed_photograph_remains() -> None:
    aspects = tf.constant([2.0, 0.5, 1.0])
    found = Augmentation()(ramps(3), tf.zeros((3, DRAWS)), 60, aspects)
    height, width = sides(found)
    np.testing.assert_allclose(height, [1, 0.5, 1], atol=0.03)
    np.testing.assert_allclose(width, [0.5, 1, 1], atol=0.03)
    middle = np.asarray(found)[:, 29:31, 29:31, :2].mean(axis=(1, 2))
    np.testing.assert_allclose(middle, 4 * 29.5, atol=2)


@pytest.mark.parametrize("aspect", [0.4, 1.0, 1.5, 3.0])
def test_crops_have_their_ratio_in_the_photograph(aspect: float) -> None:
    augmentation = Augmentation(crop=0.1)
    draws = augmentation.draw(400, 0, 1)
    height, width = sides(augmentation(ramps(400), draws, 40, tf.fill((400,), aspect)))
    ratios = np.log(width * aspect / height)
    assert np.abs(ratios).max() < np.log(4 / 3) + 0.1
    assert np.abs(ratios).max() > np.log(4 / 3) - 0.1
    assert np.abs(ratios.mean()) < 0.05
    # Where the photograph is long, the largest crop is its square: 1 / 3 of the area for an aspect of 3.
    largest = min(1.0, min(aspect, 1 / aspect) * 4 / 3)
    assert 0.9 * largest < (height * width).max() < 1.05 * largest + 0.02
    assert (height * width).min() == pytest.approx(0.1, abs=0.03)


def mirrored(augmentation: Augmentation, images: int, seed: int, epoch: int, rows: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(augmentation.draw(images, seed, epoch, rows))[:, 2] < 0.5


def test_sides_alternate_and_chance_decides_the_first() -> None:
    alternating = Augmentation(flip="alternate", shift=0.1)
    first = mirrored(alternating, 1000, 3, 1)
    assert 450 < first.sum() < 550
    for epoch in range(2, 6):
        np.testing.assert_array_equal(mirrored(alternating, 1000, 3, epoch), first == (epoch % 2 == 1))
    assert 400 < (mirrored(alternating, 1000, 4, 1) == first).sum() < 600
    others = np.asarray(Augmentation(flip=True, shift=0.1).draw(1000, 3, 1))
    np.testing.assert_array_equal(np.asarray(alternating.draw(1000, 3, 1))[:, :2], others[:, :2])


def test_an_image_that_is_used_twice_shows_both_sides() -> None:
    alternating, rows = Augmentation(flip="alternate", crop=0.5), np.array([0, 0, 1, 3, 3, 3])
    first = mirrored(alternating, 6, 3, 1)
    for epoch in (1, 2):
        found = mirrored(alternating, 6, 3, epoch, rows)
        odd = epoch == 1
        assert found.tolist() == [(first[row] == odd) ^ turn for row, turn in zip(rows, (0, 1, 0, 0, 1, 0), strict=True)]
