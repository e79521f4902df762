"""The functions that are exported: which models they take, and that `images` and `reference` compute the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.export.classifier import Classifier, describe, exportable, reference
from resnet.network.model import ResNet


@pytest.mark.parametrize(("shape", "names"), [((32, 32, 3), None), ((32, 40, 3), ["a", "b"])])
def test_a_model_without_names_or_for_oblong_images_is_refused(shape: tuple[int, ...], names: list[str] | None) -> None:
    with pytest.raises(ValueError, match="has class names and takes square images. Received: input of"):
        exportable(ResNet(shape, 2, blocks=(1,), width=4, class_names=names))


def test_probabilities_are_those_of_the_layers_on_normalised_pixels() -> None:
    keras.utils.set_random_seed(0)
    model = ResNet((40, 40, 3), 2, blocks=(1,), width=4, class_names=["a", "b"], zero_init_last_gamma=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    # The mean and deviation of ImageNet, as the original ResNet release and torchvision have them.
    pixels = (images - np.array([123.68, 116.779, 103.939])) / np.array([58.393, 57.12, 57.375])
    powers = np.exp(np.asarray(model(pixels.astype(np.float32), training=False), np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(reference(model, tf.constant(images)), expected, atol=1e-5)
    np.testing.assert_allclose(Classifier(model).images(images)["probabilities"], expected, atol=1e-5)


def test_the_description_names_the_size() -> None:
    assert "square middle is resized to 224 pixels" in describe(224)
