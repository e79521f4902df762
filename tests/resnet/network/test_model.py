"""The network against the paper's table and against `keras.applications`."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.network.blocks import Style, convolution_block, identity_block
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from tests.imports import ROOT


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Other than the initial weights, under which batch normalisation does nothing."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        low, high = (0.5, 1.5) if variable.path.endswith(("gamma", "moving_variance")) else (-0.1, 0.1)
        variable.assign(generator.uniform(low, high, variable.shape) if len(variable.shape) == 1 else variable)


@pytest.fixture(scope="module")
def v15() -> ResNet:
    return ResNet((224, 224, 3), 1000)


def test_kernels_that_will_be_loaded_are_not_drawn() -> None:
    drawn, empty = (ResNet((32, 32, 3), 2, blocks=(1,), width=4, draw_kernels=draw) for draw in (True, False))
    kernels = [layer.name for layer in empty.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(kernels) == 5
    assert all(np.any(drawn.get_layer(name).kernel) and not np.any(empty.get_layer(name).kernel) for name in kernels)
    assert drawn.get_config() == empty.get_config()


def test_v15_has_the_parameters_of_the_literature(v15: ResNet) -> None:
    assert v15.count_params() == 25_610_152
    assert sum(int(np.prod(variable.shape)) for variable in v15.trainable_variables) == 25_557_032


def test_v1_gives_the_outputs_of_keras_applications() -> None:
    theirs = keras.applications.ResNet50(weights=None, classifier_activation=None)
    randomise(theirs)
    ours = ResNet((224, 224, 3), 1000, variant="v1")
    assert ours.count_params() == 25_636_712
    for layer in theirs.layers:
        if layer.weights:
            ours.get_layer(layer.name).set_weights(layer.get_weights())
    images = np.random.default_rng(1).normal(size=(2, 224, 224, 3)).astype(np.float32)
    expected = np.asarray(theirs(images, training=False))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(np.asarray(ours(images, training=False)), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv1_relu", (112, 112, 64)),
        ("pool1_pool", (56, 56, 64)),
        ("conv2_block3_out", (56, 56, 256)),
        ("conv3_block4_out", (28, 28, 512)),
        ("conv4_block6_out", (14, 14, 1024)),
        ("conv5_block3_out", (7, 7, 2048)),
        ("avg_pool", (2048,)),
        ("predictions", (1000,)),
    ],
)
def test_stages_have_the_sizes_of_the_papers_table(v15: ResNet, layer: str, shape: tuple[int, ...]) -> None:
    assert v15.get_layer(layer).output.shape == (None, *shape)


@pytest.mark.parametrize(("variant", "strides"), [("v1", (2, 1)), ("v1.5", (1, 2))])
def test_the_variants_stride_where_they_should(variant: str, strides: tuple[int, int]) -> None:
    model = ResNet((64, 64, 3), 2, variant=variant, blocks=(1, 1), width=4)
    convolutions = [model.get_layer(f"conv3_block1_{number}_conv") for number in (1, 2)]
    assert tuple(layer.strides[0] for layer in convolutions) == strides
    assert all(layer.use_bias == (variant == "v1") for layer in convolutions)


def test_it_has_fifty_layers_with_weights(v15: ResNet) -> None:
    main_path = [layer for layer in v15.layers if isinstance(layer, keras.layers.Conv2D) and "_0_" not in layer.name]
    assert len(main_path) + 1 == 50


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


def test_calling_it_gives_logits() -> None:
    model = ResNet((32, 32, 3), 5, blocks=(1, 1), width=8, zero_init_last_gamma=False)
    logits = np.asarray(model(np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)))
    assert logits.shape == (4, 5)
    assert logits.dtype == np.float32
    assert not np.allclose(logits.sum(axis=1), 1.0)


def test_summary_prints_every_layer(v15: ResNet, capsys: pytest.CaptureFixture[str]) -> None:
    v15.summary(line_length=160)
    printed = capsys.readouterr().out
    assert len(v15.layers) > 170
    assert [layer.name for layer in v15.layers if layer.name not in printed] == []
    assert "25,610,152" in printed


def test_get_config_makes_the_same_network_again() -> None:
    model = ResNet((48, 40, 3), 3, variant="v1", blocks=(1, 2), width=8, class_names=["a", "b", "c"], name="small")
    again = ResNet.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [variable.shape for variable in again.weights] == [variable.shape for variable in model.weights]
    assert (again.classes, again.class_names, again.name) == (3, ["a", "b", "c"], "small")


def test_a_saved_model_loads_in_a_new_process(tmp_path: Path) -> None:
    model = ResNet((32, 32, 3), 4, blocks=(1, 1), width=8, zero_init_last_gamma=False)
    randomise(model)
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "logits.npy", np.asarray(model(images, training=False)))
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, keras, numpy as np; from resnet import ResNet; folder = sys.argv[1]\n"
        "model = keras.saving.load_model(folder + '/model.keras')\n"
        "assert type(model) is ResNet\n"
        "logits = np.asarray(model(np.load(folder + '/images.npy'), training=False))\n"
        "np.testing.assert_allclose(logits, np.load(folder + '/logits.npy'), atol=1e-6)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"variant": "v2"}, "variant must be one of v1, v1.5, D. Received: 'v2'"),
        ({"classes": 1}, "classes must be at least 2. Received: 1"),
        ({"blocks": []}, "at least one stage of at least one block"),
        ({"blocks": [3, 0]}, "at least one stage of at least one block"),
        ({"class_names": ["a"]}, "one name for each of 4 classes. Received: 1"),
    ],
)
def test_impossible_networks_are_refused_before_a_layer_is_built(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("(", "\\(")):
        ResNet(**({"input_shape": (32, 32, 3), "classes": 4} | arguments))  # type: ignore[arg-type]


def test_normalised_pixels_are_centred_and_scaled() -> None:
    means = np.array([123.68, 116.779, 103.939])
    deviations = np.array([58.393, 57.12, 57.375])
    images = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    expected = (images.astype(np.float64) - means) / deviations
    np.testing.assert_allclose(np.asarray(normalise(images)), expected, atol=1e-6)
