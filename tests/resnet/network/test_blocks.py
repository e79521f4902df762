"""All depths, variants and stems, against the tables of the literature."""

import keras
import numpy as np
import pytest

from resnet.evaluation.folding import fold
from resnet.network.blocks import VARIANTS, Style, basic_block
from resnet.network.model import DEPTHS, ResNet, choose_stem
from resnet.network.normalisation import normalise

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
def test_stages_have_the_sizes_of_the_papers_table(depth: int, variant: str, stem: str, sides: list[int]) -> None:
    model = ResNet((256, 256, 3), 2, depth=depth, variant=variant, stem=stem, blocks=(1, 1, 1, 1), width=4)
    outputs = ["pool1_pool" if stem == "large" else "conv1_relu", *(f"conv{stage}_block1_out" for stage in range(2, 6))]
    channels = [4, *(4 * 2**stage * (1 if depth == 18 else 4) for stage in range(4))]
    expected = [(None, side, side, width) for side, width in zip(sides, channels, strict=True)]
    assert [model.get_layer(name).output.shape for name in outputs] == expected


@pytest.mark.parametrize(("size", "stem"), [((32, 32), "small"), ((64, 224), "small"), ((65, 65), "large")])
def test_auto_is_the_small_stem_for_small_images(size: tuple[int, int], stem: str) -> None:
    assert choose_stem("auto", (*size, 3)) == stem
    assert ResNet((*size, 3), 2, stem="auto", blocks=(1,), width=4).get_config()["stem"] == stem


def test_the_shortcut_of_variant_d_averages_all_of_its_input() -> None:
    inputs = keras.Input((5, 4, 2))
    block = keras.Model(inputs, basic_block(inputs, 2, stride=2, style=Style(VARIANTS["D"]), name="block"))
    block.get_layer("block_0_conv").set_weights([np.eye(2).reshape(1, 1, 2, 2)])
    images = np.random.default_rng(0).uniform(0, 1, (1, 5, 4, 2)).astype(np.float32)
    # The residual starts at zero. The last row has no other below it: its pairs are averaged alone.
    rows = [images[0, 0:2].mean(axis=0), images[0, 2:4].mean(axis=0), images[0, 4]]
    expected = np.stack(rows).reshape(3, 2, 2, 2).mean(axis=2) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(np.asarray(block(images))[0], expected, rtol=1e-5)


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
