"""Components: the links of images that stay together, and the position of each component."""

import numpy as np
import pytest

from resnet.preparation.components import _pairs_of_groups, components_of, pairs_of_equal, positions_of


@pytest.mark.parametrize("images", [10, 20_000])
def test_a_large_group_makes_no_more_links_than_images(images: int) -> None:
    links = _pairs_of_groups([*["clip"] * images, None])  # not one for each two images
    assert links.tolist() == [[0, row] for row in range(images)]


def test_pairs_join_each_row_with_the_one_before_it_that_is_equal() -> None:
    assert pairs_of_equal(np.array([3, 1, 3, 2, 3])).tolist() == [[0, 2], [2, 4]]


def test_equal_pixels_a_group_and_a_given_pair_make_one_component() -> None:
    pixels = np.zeros((6, 32), np.uint8)
    pixels[:, 0] = [1, 1, 2, 3, 4, 5]
    component = components_of(pixels, [None, "g", "g", None, None, None], np.array([[2, 3]])).tolist()
    assert len(set(component[:4])) == 1
    assert len({component[0], component[4], component[5]}) == 3
    positions = positions_of(pixels, [None] * 6, np.array(component, np.int32), 0)
    assert positions.shape == (3,)
    assert ((positions >= 0) & (positions < 1)).all()
