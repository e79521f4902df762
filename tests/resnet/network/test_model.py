"""The network against the paper's table and against `keras.applications`."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.network.folding import fold
from resnet.network.model import DEPTHS, ResNet, choose_stem
from resnet.network.normalisation import normalise
from resnet.network.variants import VARIANTS
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


# Trainable parameters at 1,000 classes. v1.5: torchvision's table of its ResNets. D: timm's, in millions with two
# digits; the deep stem has 9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32) where the other has 49 * 3 * 64.
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
TIMM_D = {18: 11.71, 34: 21.82, 50: 25.58, 101: 44.57, 152: 60.21}
# All parameters: the table of keras.applications.
KERAS = {50: 25_636_712, 101: 44_707_176, 152: 60_419_944}


def count(model: keras.Model, prefix: str, trainable: bool) -> int:
    variables = model.trainable_variables if trainable else model.variables
    return sum(int(np.prod(variable.shape)) for variable in variables if variable.path.startswith(prefix))


@pytest.fixture(scope="module")
def two_blocks() -> dict[tuple[int, str], ResNet]:
    """Networks with a first and a further block in each stage: deeper ones only repeat the further one."""
    return {
        (kind, variant): ResNet((32, 32, 3), 1000, depth=kind, variant=variant, blocks=(2, 2, 2, 2))
        for kind in (18, 50)
        for variant in VARIANTS
    }


def parameters(networks: dict[tuple[int, str], ResNet], depth: int, variant: str, *, trainable: bool) -> int:
    """Counted for a depth without making it, which takes seconds."""
    model = networks[18 if depth < 50 else 50, variant]
    total = count(model, "conv1", trainable) + count(model, "predictions", trainable)
    for stage, blocks in enumerate(DEPTHS[depth], start=2):
        total += count(model, f"conv{stage}_block1", trainable) + (blocks - 1) * count(model, f"conv{stage}_block2", trainable)
    return total


@pytest.mark.parametrize("depth", list(DEPTHS))
def test_parameters_are_those_of_the_literature(two_blocks: dict[tuple[int, str], ResNet], depth: int) -> None:
    assert parameters(two_blocks, depth, "v1.5", trainable=True) == TORCHVISION[depth]
    deep = parameters(two_blocks, depth, "D", trainable=True)
    assert deep == TORCHVISION[depth] + 9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32) - 49 * 3 * 64
    assert round(deep / 1e6, 2) == TIMM_D[depth]
    if depth in KERAS:
        assert parameters(two_blocks, depth, "v1", trainable=False) == KERAS[depth]


def test_a_whole_network_has_what_was_counted_for_its_depth() -> None:
    assert count(ResNet((32, 32, 3), 1000, depth=34), "", trainable=True) == TORCHVISION[34]


@pytest.mark.parametrize("depth", list(DEPTHS))
def test_a_depth_is_the_number_of_layers_with_weights(depth: int) -> None:
    assert (2 if depth < 50 else 3) * sum(DEPTHS[depth]) + 2 == depth


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize(("stem", "sides"), [("large", [64, 64, 32, 16, 8]), ("small", [256, 256, 128, 64, 32])])
def test_each_variant_has_the_sizes_of_the_papers_table(depth: int, variant: str, stem: str, sides: list[int]) -> None:
    model = ResNet((256, 256, 3), 2, depth=depth, variant=variant, stem=stem, blocks=(1, 1, 1, 1), width=4)
    outputs = ["pool1_pool" if stem == "large" else "conv1_relu", *(f"conv{stage}_block1_out" for stage in range(2, 6))]
    channels = [4, *(4 * 2**stage * (1 if depth == 18 else 4) for stage in range(4))]
    expected = [(None, side, side, width) for side, width in zip(sides, channels, strict=True)]
    assert [model.get_layer(name).output.shape for name in outputs] == expected


@pytest.mark.parametrize(("size", "stem"), [((32, 32), "small"), ((64, 224), "small"), ((65, 65), "large")])
def test_auto_is_the_small_stem_for_small_images(size: tuple[int, int], stem: str) -> None:
    assert choose_stem("auto", (*size, 3)) == stem
    assert ResNet((*size, 3), 2, stem="auto", blocks=(1,), width=4).get_config()["stem"] == stem


@pytest.mark.parametrize(("depth", "variant", "stem"), [(18, "v1", "small"), (34, "D", "large"), (50, "D", "small")])
def test_each_kind_can_be_folded_and_made_again(depth: int, variant: str, stem: str) -> None:
    model = ResNet((33, 32, 3), 3, depth=depth, variant=variant, stem=stem, blocks=(1, 2), width=4, zero_init_last_gamma=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 32, 3), dtype=np.uint8)
    expected = np.asarray(model(normalise(images), training=False))
    np.testing.assert_allclose(np.asarray(fold(model)(images)), expected, atol=1e-5 * np.abs(expected).max())
    again = ResNet.from_config(model.get_config())
    assert [(weight.path, weight.shape) for weight in again.weights] == [
        (weight.path, weight.shape) for weight in model.weights
    ]


def test_a_model_from_before_there_was_a_family_is_a_resnet_50_with_the_large_stem() -> None:
    config = ResNet((32, 32, 3), 2, blocks=(1, 1), width=4).get_config()
    del config["depth"], config["stem"]
    assert ResNet.from_config(config).get_layer("conv2_block1_3_conv").filters == 16


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"depth": 20}, "depth must be one of 18, 34, 50, 101, 152. Received: 20"),
        ({"stem": "tiny"}, "stem must be one of large, small, auto. Received: 'tiny'"),
    ],
)
def test_what_is_not_of_the_family_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ResNet((32, 32, 3), 4, **arguments)  # type: ignore[arg-type]


def test_calibration_divides_the_logits_once_and_is_recorded() -> None:
    model = ResNet((32, 32, 3), 3, blocks=(1,), width=8)
    assert model.temperature == 1.0
    assert "temperature" not in model.get_config()
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    before = np.asarray(model(images, training=False))
    model.calibrate(0.3)
    np.testing.assert_allclose(np.asarray(model(images, training=False)), before / 0.3, rtol=1e-5, atol=1e-6)
    assert ResNet.from_config(model.get_config()).temperature == 0.3
    for value in (0.5, 0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="calibrated once"):
            model.calibrate(value)


def test_only_a_network_for_several_labels_takes_an_offset() -> None:
    one, several = (ResNet((32, 32, 3), 3, blocks=(1,), width=8, multi_label=value) for value in (False, True))
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    before = np.asarray(several(images, training=False))
    several.calibrate(0.5, -0.75)
    np.testing.assert_allclose(np.asarray(several(images, training=False)), 2 * before - 0.75, rtol=1e-5, atol=1e-6)
    assert ResNet.from_config(several.get_config()).offset == -0.75
    for network, offset in ((one, 0.1), (ResNet((32, 32, 3), 3, blocks=(1,), width=8, multi_label=True), float("nan"))):
        with pytest.raises(ValueError, match="An offset is a finite number"):
            network.calibrate(2.0, offset)
    one.calibrate(2.0)
    assert (one.offset, "offset" in one.get_config()) == (0.0, False)


def test_a_network_for_several_labels_has_the_same_layers_and_says_so() -> None:
    one, several = (ResNet((32, 32, 3), 3, blocks=(1,), width=8, multi_label=value) for value in (False, True))
    assert [layer.get_config() for layer in one.layers] == [layer.get_config() for layer in several.layers]
    assert (one.multi_label, one.thresholds, several.multi_label, several.thresholds) == (False, None, True, [0.5, 0.5, 0.5])
    assert not {"multi_label", "thresholds"} & one.get_config().keys()
    several.decide_by([0.25, 0.5, 0.75])
    again = ResNet.from_config(several.get_config())
    assert (again.multi_label, again.thresholds) == (True, [0.25, 0.5, 0.75])
    for wrong in ([0.5, 0.5], [0.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, float("nan"), 0.5]):
        with pytest.raises(ValueError, match="thresholds must be 3 numbers"):
            several.decide_by(wrong)
    with pytest.raises(ValueError, match="multi_label=False"):
        one.decide_by([0.5, 0.5, 0.5])
