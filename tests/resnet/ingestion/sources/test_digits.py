"""The built-in digits against scikit-learn."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from resnet.images.outcomes import Candidate
from resnet.ingestion.sources.digits import digits


def test_digits_are_those_of_scikit_learn() -> None:
    found = [file for file in digits().files() if isinstance(file, Candidate)]
    expected = load_digits()
    assert [int(file.label) for file in found] == expected.target.tolist()
    assert len({file.path for file in found}) == 1797
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file.read()))) for file in found])
    assert pixels.max() == 255
    np.testing.assert_allclose(pixels / 255 * 16, expected.images, atol=0.05)
