"""The blocks: shapes, shortcuts, and what they compute at the start."""

import keras
import numpy as np
import pytest

from resnet.network.blocks import Style, basic_block, convolution_block, identity_block
from resnet.network.variants import VARIANTS


def test_zero_init_starts_every_block_as_its_shortcut() -> None:
    inputs = keras.Input((8, 8, 16))
    block = keras.Model(inputs, identity_block(inputs, 4, name="block"))
    images = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 16)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(block(images)), images)
    other = keras.Model(inputs, identity_block(inputs, 4, style=Style(zero_init_last_gamma=False), name="block"))
    assert np.abs(np.asarray(other(images)) - images).max() > 1e-3


def test_convolution_block_changes_size_and_channels() -> None:
    assert convolution_block(keras.Input((9, 9, 3)), 4, stride=2, name="block").shape == (None, 5, 5, 16)
    assert convolution_block(keras.Input((9, 9, 3)), 4, stride=1, name="block").shape == (None, 9, 9, 16)


def test_identity_block_refuses_another_number_of_channels() -> None:
    with pytest.raises(ValueError, match="4 \\* filters = 16 channels.*Received: 3 channels"):
        identity_block(keras.Input((8, 8, 3)), 4, name="block")


def test_the_shortcut_of_variant_d_averages_all_of_its_input() -> None:
    inputs = keras.Input((5, 4, 2))
    block = keras.Model(inputs, basic_block(inputs, 2, stride=2, style=Style(VARIANTS["D"]), name="block"))
    block.get_layer("block_0_conv").set_weights([np.eye(2).reshape(1, 1, 2, 2)])
    images = np.random.default_rng(0).uniform(0, 1, (1, 5, 4, 2)).astype(np.float32)
    # The residual starts at zero. The last row has no other below it: its pairs are averaged alone.
    rows = [images[0, 0:2].mean(axis=0), images[0, 2:4].mean(axis=0), images[0, 4]]
    expected = np.stack(rows).reshape(3, 2, 2, 2).mean(axis=2) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(np.asarray(block(images))[0], expected, rtol=1e-5)
