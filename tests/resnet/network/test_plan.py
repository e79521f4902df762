"""The plan of convolutions against the layers of the Keras network."""

import itertools

import keras
import pytest

from resnet.network.model import ResNet
from resnet.network.plan import plan


@pytest.mark.parametrize(
    ("depth", "variant", "stem"), list(itertools.product((18, 50), ("v1", "v1.5", "D"), ("small", "large")))
)
def test_it_has_the_convolutions_of_the_network_in_the_order_of_its_layers(depth: int, variant: str, stem: str) -> None:
    model = ResNet((36, 36, 3), 2, depth=depth, variant=variant, stem=stem, blocks=(2, 1, 2), width=4, draw_kernels=False)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    expected = [(layer.name, tuple(layer.kernel.shape), layer.strides, layer.padding == "valid") for layer in layers]
    found = plan(model.get_config())
    assert [
        (one.name, (one.side, one.side, one.inputs, one.filters), (one.stride, one.stride), one.padded)
        for one in found.convolutions()
    ] == expected
    assert found.features == model.get_layer("predictions").kernel.shape[0]
    assert found.epsilon == model.get_layer(f"{layers[0].name.removesuffix('_conv')}_bn").epsilon
    assert found.pooled == (stem == "large")
