"""Copies of kernels in bfloat16: which there are, and that the network reads them."""

import numpy as np
import pytest
import tensorflow as tf

from resnet.native import copies as module
from resnet.native.copies import KernelCopies
from resnet.native.forward import training_forward
from resnet.native.library import load
from resnet.network.model import ResNet
from resnet.network.precision import dtype_policy

needs_library = pytest.mark.skipif(load() is None, reason="the library has not been compiled; `make setup` does that")

IMAGES = tf.random.stateless_normal((8, 32, 32, 3), (3, 4))


def network(precision: str) -> ResNet:
    tf.keras.utils.set_random_seed(1)
    with dtype_policy(precision):
        return ResNet((32, 32, 3), 5, depth=50, stem="small", blocks=(1, 2), width=8, zero_init_last_gamma=False)


@needs_library
def test_there_is_one_for_each_kernel_that_is_read_in_bfloat16() -> None:
    model = network("bfloat16")
    copies = KernelCopies(model.layers)

    found = {variable.path for variable in model.variables if copies.of(variable) is not None}

    assert found == {variable.path for variable in model.variables if variable.path.endswith("conv/kernel")}
    assert len(found) == 12  # the stem, 3 in each of three blocks, and the shortcut of two
    assert copies.of(model.get_layer("predictions").kernel) is None  # float32


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_other_precisions_have_none(precision: str) -> None:
    model = network(precision)
    variables = model.trainable_variables

    assert KernelCopies(model.layers).in_place_of(variables) == variables


def test_without_the_library_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda: None)
    model = network("bfloat16")

    assert KernelCopies(model.layers).in_place_of(model.trainable_variables) == model.trainable_variables


@needs_library
def test_logits_gradients_and_statistics_have_the_same_bits_as_with_casts() -> None:
    model, seen = network("bfloat16"), []
    before, variables = model.get_weights(), model.trainable_variables
    copies = KernelCopies(model.layers)

    for given, sources in ((None, variables), (copies, copies.in_place_of(variables))):
        model.set_weights(before)
        with tf.GradientTape() as tape:
            logits = training_forward(model, given)(IMAGES)
            loss = tf.reduce_sum(logits**2)
        gradients = tape.gradient(loss, sources)
        seen.append([logits, *(tf.cast(one, tf.float32) for one in gradients), *map(np.array, model.non_trainable_variables)])

    assert all(one.dtype == tf.bfloat16 for one, source in zip(gradients, sources, strict=True) if source.dtype == tf.bfloat16)
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@needs_library
def test_no_kernel_is_cast() -> None:
    model = network("bfloat16")

    def casts(copies: KernelCopies | None) -> int:
        graph = tf.function(training_forward(model, copies)).get_concrete_function(IMAGES).graph
        return [op.type for op in graph.get_operations()].count("Cast")

    assert casts(None) - casts(KernelCopies(model.layers)) == 12


@needs_library
def test_they_follow_the_weights_when_they_are_refreshed() -> None:
    model = network("bfloat16")
    copies, kernel = KernelCopies(model.layers), model.get_layer("conv1_conv").kernel
    kernel.assign(tf.ones(kernel.shape) * 1.00390625)  # halfway between two bfloat16; the even one is 1

    copies.refresh()

    np.testing.assert_array_equal(tf.cast(copies.of(kernel), tf.float32), np.ones(kernel.shape))
