"""The gradient of a convolution's kernel, compared with TensorFlow's in float64."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.native import convolution
from resnet.native.library import load
from resnet.network.layers import Conv2D

LIBRARY: Any = load()

pytestmark = pytest.mark.skipif(
    not hasattr(LIBRARY, "resnet_weight_gradient"), reason="not compiled, or the processor does not multiply bfloat16"
)

# Batch, height, width, input channels, output channels, kernel, stride.
SHAPES = [
    (2, 8, 8, 64, 64, 3, 1),
    (3, 9, 7, 16, 32, 3, 1),
    (1, 1, 1, 32, 32, 3, 1),
    (5, 2, 3, 48, 96, 3, 2),
    (2, 14, 14, 80, 288, 3, 2),
    (1, 30, 30, 32, 64, 3, 1),
    (40, 4, 4, 32, 32, 3, 1),
    (2, 11, 13, 16, 64, 7, 2),
    (2, 12, 5, 64, 32, 1, 2),
]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_tensorflow_in_float64(shape: tuple[int, ...], padding: str) -> None:
    batch, height, width, channels, filters, kernel, stride = shape
    if padding == "VALID" and min(height, width) < kernel:
        pytest.skip("the kernel does not fit into the image")
    images, above = random(batch, height, width, channels), None
    outputs = tf.nn.conv2d(tf.cast(images, tf.float32), tf.zeros((kernel, kernel, channels, filters)), stride, padding)
    above = random(*outputs.shape)
    got = of_library(images, above, kernel, stride, padding)
    wanted = tf.raw_ops.Conv2DBackpropFilter(
        input=tf.cast(images, tf.float64),
        filter_sizes=(kernel, kernel, channels, filters),
        out_backprop=tf.cast(above, tf.float64),
        strides=(1, stride, stride, 1),
        padding=padding,
    )
    rounded = of_library(images, above, kernel, stride, padding, tf.bfloat16)
    np.testing.assert_array_equal(tf.cast(rounded, tf.float32), tf.cast(tf.cast(got, tf.bfloat16), tf.float32))
    # Relative to the sum of absolute products, which bounds the error of sums in float32 in any order.
    bound = 1e-6 * outputs.shape[1] * outputs.shape[2] * batch
    np.testing.assert_allclose(got, wanted, rtol=0, atol=max(bound, 1e-6))


def test_images_that_are_not_finite_reach_the_gradient() -> None:
    images = random(2, 6, 6, 16).numpy()
    images[1, 3, 3, 5] = np.nan
    gradient = of_library(tf.constant(images), random(2, 6, 6, 32), 3, 1, "SAME").numpy()
    assert np.isnan(gradient[:, :, 5]).all()
    assert np.isfinite(np.delete(gradient, 5, axis=2)).all()


def test_channels_that_do_not_fill_registers_are_refused() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiple of 16"):
        of_library(random(1, 4, 4, 24), random(1, 4, 4, 32), 3, 1, "SAME")


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
def test_the_layer_has_the_same_outputs_and_gradients(padding: str, strides: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    inputs = keras.Input((9, 8, 32))
    layer = Conv2D(64, 3, strides=strides, padding=padding, use_bias=False, dtype="mixed_bfloat16")
    layer(inputs)
    images = tf.Variable(random(4, 9, 8, 32))
    assert convolution.has_weight_gradient(layer, images)
    with tf.GradientTape(persistent=True) as tape:
        of_layer = layer(images)
        of_library = convolution.convolve(layer, images)
        losses = [tf.reduce_sum(tf.square(tf.cast(outputs, tf.float32))) for outputs in (of_layer, of_library)]
    np.testing.assert_array_equal(tf.cast(of_library, tf.float32), tf.cast(of_layer, tf.float32))
    for source in (images, *(weight.value for weight in layer.trainable_weights)):
        wanted, got = (tf.cast(tape.gradient(loss, source), tf.float32) for loss in losses)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2.0**-7 * float(tf.reduce_max(tf.abs(wanted))))


@pytest.mark.parametrize(
    "layer",
    [
        Conv2D(64, 1, use_bias=False, dtype="mixed_bfloat16"),  # a product
        Conv2D(64, 3, strides=4, padding="same", use_bias=False, dtype="mixed_bfloat16"),  # of few pixels, too
        Conv2D(64, 3, use_bias=False, dtype="float32"),
        Conv2D(40, 3, use_bias=False, dtype="mixed_bfloat16"),
        Conv2D(64, 3, use_bias=False, dtype="mixed_bfloat16", trainable=False),
        Conv2D(64, 3, dtype="mixed_bfloat16"),
    ],
)
def test_other_layers_are_left_as_they_are(layer: Conv2D) -> None:
    layer(keras.Input((8, 8, 32)))
    assert not convolution.has_weight_gradient(layer, random(2, 8, 8, 32))


def test_the_images_decide_not_those_that_the_layer_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    layer = Conv2D(64, 3, strides=2, padding="same", use_bias=False, dtype="mixed_bfloat16")
    layer(keras.Input((8, 8, 32)))
    assert not convolution.has_weight_gradient(layer, random(2, 4, 4, 32))  # a product of four windows
    images = tf.Variable(random(2, 7, 9, 32))  # an odd side has other padding than the even one
    with tf.GradientTape(persistent=True) as tape:
        losses = [
            tf.reduce_sum(tf.square(tf.cast(run, tf.float32))) for run in (layer(images), convolution.convolve(layer, images))
        ]
    wanted, got = (tf.cast(tape.gradient(loss, layer.kernel.value), tf.float32) for loss in losses)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2.0**-7 * float(tf.reduce_max(tf.abs(wanted))))


def test_a_processor_with_amx_keeps_onednns_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "cpu_flags", lambda: frozenset({"avx512_bf16", "amx_bf16"}))
    layer = Conv2D(64, 3, use_bias=False, dtype="mixed_bfloat16")
    layer(keras.Input((8, 8, 32)))
    assert not convolution.has_weight_gradient(layer, random(2, 8, 8, 32))


def random(*shape: int) -> tf.Tensor:
    return tf.cast(np.random.default_rng(sum(shape)).uniform(-1, 1, shape), tf.bfloat16)


def of_library(
    images: tf.Tensor, above: tf.Tensor, kernel: int, stride: int, padding: str, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    sides, outputs = images.shape[1:3], above.shape[1:3]
    missing = [max((out - 1) * stride + kernel - side, 0) for out, side in zip(outputs, sides, strict=True)]
    before = [side // 2 for side in missing] if padding == "SAME" else [0, 0]
    return LIBRARY.resnet_weight_gradient(images, above, T=dtype, kernel_size=[kernel, kernel], stride=stride, padding=before)
