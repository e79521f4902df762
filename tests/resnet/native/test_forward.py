"""The network with fused operations is the network."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tensorflow as tf

from resnet.native import forward
from resnet.native.forward import training_forward
from resnet.native.library import load
from resnet.network.model import ResNet
from resnet.network.precision import dtype_policy

if TYPE_CHECKING:
    from collections.abc import Callable

needs_library = pytest.mark.skipif(load() is None, reason="the library has not been compiled; `make setup` does that")


def small(depth: int, variant: str, precision: str = "float32", stem: str = "large", size: int = 32) -> ResNet:
    tf.keras.utils.set_random_seed(1)
    with dtype_policy(precision):
        model = ResNet(
            (size, size, 3), 5, depth=depth, variant=variant, stem=stem, blocks=(1, 2), width=8, zero_init_last_gamma=False
        )
    for weight in model.trainable_variables:  # scales and offsets that are not those of the start
        if len(weight.shape) == 1:
            weight.assign(weight + tf.random.stateless_uniform(weight.shape, (1, 2), 0.1, 0.5))
    return model


def images(dtype: tf.DType = tf.float32) -> tf.Tensor:
    return tf.cast(tf.random.stateless_normal((16, 32, 32, 3), (3, 4)), dtype)


@needs_library
@pytest.mark.parametrize(
    ("depth", "variant", "stem"), [(50, "v1.5", "large"), (50, "v1", "small"), (18, "D", "large"), (34, "v1.5", "small")]
)
def test_logits_gradients_and_statistics_are_those_of_the_layers(depth: int, variant: str, stem: str) -> None:
    model, seen = small(depth, variant, stem=stem), []
    before = model.get_weights()
    runs: list[Callable[[tf.Tensor], tf.Tensor]] = [lambda batch: model(batch, training=True), training_forward(model)]

    for run in runs:
        model.set_weights(before)
        with tf.GradientTape() as tape:
            logits = run(images())
            loss = tf.reduce_sum(logits * tf.random.stateless_normal((16, 5), (5, 6)))
        gradients = tape.gradient(loss, model.trainable_variables)
        seen.append([logits, *gradients, *(np.array(one) for one in model.non_trainable_variables)])  # not the variables

    for one, other in zip(*seen, strict=True):
        # Of whole tensors: at the edge of a ReLU, a single number may fall on the other side. The gradient of a bias before a
        # normalisation is 0 but for rounding.
        difference = np.linalg.norm(np.asarray(one) - np.asarray(other))
        assert difference <= 5e-3 * max(1.0, float(np.linalg.norm(np.asarray(one))))


@pytest.mark.parametrize("fused", [pytest.param(True, marks=needs_library), False])
@pytest.mark.parametrize(("depth", "variant", "stem"), [(50, "v1.5", "large"), (18, "D", "small")])
def test_another_size_gives_what_a_network_of_that_size_gives(
    depth: int, variant: str, stem: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(forward, "load", lambda: None)
    batch = tf.random.stateless_normal((8, 20, 20, 3), (3, 4))
    seen = []
    for size in (32, 20):
        model = small(depth, variant, "bfloat16", stem, size)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(training_forward(model)(batch) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        seen.append([np.asarray(one) for one in (loss, *gradients, *model.non_trainable_variables)])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_library
def test_every_normalisation_is_fused() -> None:
    """All but that of a shortcut are fused with a ReLU; none is computed by the layer."""
    model = small(50, "v1.5", "bfloat16")

    graph = tf.function(training_forward(model)).get_concrete_function(images()).graph
    kinds = [op.type for op in graph.get_operations()]

    assert kinds.count("ResnetNormAdd") == 3  # blocks
    assert kinds.count("ResnetNorm") == 9  # 12 normalisations in all
    assert sum(op.get_attr("relu") for op in graph.get_operations() if op.type == "ResnetNorm") == 7  # the stem, two a block
    assert not {"FusedBatchNormV3", "Relu", "AddV2"} & {op.type for op in graph.get_operations() if "bn" in op.name}
    assert all(op.outputs[0].dtype == tf.bfloat16 for op in graph.get_operations() if op.type.startswith("ResnetNorm"))


@needs_library
def test_two_runs_give_the_same_bits() -> None:
    model = small(50, "v1.5", "bfloat16")
    before, run = model.get_weights(), tf.function(training_forward(model))

    def once() -> list[bytes]:
        model.set_weights(before)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(run(images()) ** 2)
        return [np.asarray(one).tobytes() for one in [loss, *tape.gradient(loss, model.trainable_variables)]]

    assert once() == once()


def test_without_the_library_the_layers_themselves_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "load", lambda: None)
    model = small(18, "v1.5")
    before = model.get_weights()

    wanted = model(images(), training=True)
    model.set_weights(before)

    np.testing.assert_array_equal(training_forward(model)(images()), wanted)


@needs_library
def test_float16_is_left_to_the_layers() -> None:
    model = small(18, "v1.5", "float16")

    graph = tf.function(training_forward(model)).get_concrete_function(images()).graph

    assert not [op for op in graph.get_operations() if op.type.startswith("Resnet")]
