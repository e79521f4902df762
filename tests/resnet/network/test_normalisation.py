"""Normalised pixels."""

import numpy as np

from resnet.network.normalisation import normalise


def test_normalised_pixels_are_centred_and_scaled() -> None:
    means = np.array([123.68, 116.779, 103.939])
    deviations = np.array([58.393, 57.12, 57.375])
    images = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    expected = (images.astype(np.float64) - means) / deviations
    np.testing.assert_allclose(np.asarray(normalise(images)), expected, atol=1e-6)
