"""The centre squares of photographs that were stored squeezed."""

import numpy as np

from resnet.dataset.squares import centre_squares


def test_the_centre_of_a_wide_and_of_a_tall_photograph_remains() -> None:
    wide = np.zeros((8, 8, 3), np.uint8)
    wide[:, 2:6] = 100  # of a photograph twice as wide as high: its middle half
    tall = wide.transpose(1, 0, 2)
    found = centre_squares(np.stack([wide, tall]), np.array([2.0, 0.5], np.float32), 4)
    assert found.shape == (2, 4, 4, 3)
    assert found.tolist() == np.full((2, 4, 4, 3), 100).tolist()
