"""Our layers against Keras's own, one by one and as a whole network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.device_kernels import GPU, using
from resnet.network.layers import BatchNormalization, Conv2D, MaxPooling2D, ReLU
from resnet.network.model import ResNet

GENERATOR = np.random.default_rng(0)
# Neither square nor of an even side, and far from zero mean and unit variance.
IMAGES = GENERATOR.normal(2.0, 3.0, (3, 5, 7, 4)).astype(np.float32)


def pair(
    ours: type[keras.Layer], theirs: type[keras.Layer], *arguments: Any, shape: tuple[int, ...] = IMAGES.shape, **options: Any
) -> tuple[Any, Any]:
    """Our layer and Keras's with equal weights, other than the initial ones."""
    made = ours(*arguments, **options), theirs(*arguments, **options)
    for layer in made:
        layer.build(shape)
    weights = [GENERATOR.uniform(0.5, 1.5, weight.shape) for weight in made[0].weights]
    for layer in made:
        layer.set_weights(weights)
    return made


def gradients(layer: keras.Layer, images: np.ndarray, **options: Any) -> list[np.ndarray]:
    """Outputs, and the gradients of a sum that no part of them leaves out."""
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, **options)
        shares = np.linspace(-1, 1, int(np.prod(outputs.shape))).reshape(outputs.shape).astype(np.float32)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2 * shares)
    found = tape.gradient(total, [inputs, *layer.trainable_variables])
    return [np.asarray(outputs, np.float32), *(np.asarray(one) for one in found)]


def same(ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float = 1e-5) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_batch_normalisation_is_that_of_keras(training: bool, trainable: bool) -> None:
    ours, theirs = pair(BatchNormalization, keras.layers.BatchNormalization, momentum=0.8, epsilon=1e-3)
    ours.trainable = theirs.trainable = trainable
    before = theirs.moving_variance.numpy()
    same(gradients(ours, IMAGES, training=training), gradients(theirs, IMAGES, training=training))
    same(ours.get_weights(), theirs.get_weights())
    assert (np.abs(theirs.moving_variance.numpy() - before).max() > 0.1) == (training and trainable)


def test_the_moving_variance_is_without_bessels_correction() -> None:
    layer = BatchNormalization(momentum=0.8)
    layer(IMAGES, training=True)
    expected = 0.8 * 1.0 + 0.2 * IMAGES.astype(np.float64).var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-6)


def test_a_single_pixel_has_no_variance() -> None:
    layer = BatchNormalization(momentum=0.8)
    outputs = layer(IMAGES[:1, :1, :1], training=True)
    np.testing.assert_array_equal(outputs, np.zeros((1, 1, 1, 4)))
    np.testing.assert_allclose(layer.moving_variance.numpy(), np.full(4, 0.8), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_relu_is_that_of_numpy_bit_by_bit(dtype: str) -> None:
    special = [0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38, np.inf, -np.inf]
    inputs = tf.cast(tf.constant([*special, *GENERATOR.normal(0, 3, 1000)], tf.float32), dtype)
    weights = tf.cast(GENERATOR.normal(size=1008), dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = ReLU(dtype=dtype)(inputs)
    positive = inputs.numpy() > 0
    np.testing.assert_array_equal(outputs.numpy(), np.where(positive, inputs.numpy(), 0))
    gradient = tape.gradient(outputs, inputs, output_gradients=weights)
    np.testing.assert_array_equal(gradient.numpy(), np.where(positive, weights.numpy(), 0))


@pytest.mark.parametrize("option", [{"negative_slope": 0.1}, {"threshold": 1.0}, {"max_value": 6.0}])
def test_relu_refuses_what_it_does_not_do(option: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ReLU is max"):
        ReLU(**option)(IMAGES)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("use_bias", [True, False])
def test_pointwise_convolution_is_that_of_keras(strides: int, use_bias: bool) -> None:
    options: dict[str, Any] = {"strides": strides, "use_bias": use_bias, "padding": "same"}
    ours, theirs = pair(Conv2D, keras.layers.Conv2D, 6, 1, **options)
    same(gradients(ours, IMAGES), gradients(theirs, IMAGES))


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding", "product"),
    [
        ((1, 1), 3, 1, "same", True),
        ((2, 2), 3, 2, "same", True),
        ((1, 2), 3, 2, "same", True),
        ((2, 3), 5, 3, "same", True),
        ((2, 2), 3, 1, "same", True),
        ((2, 2), 5, 1, "same", True),
        ((3, 3), 3, 2, "same", True),
        ((4, 4), 3, 2, "same", True),
        ((4, 4), 3, 4, "same", True),
        ((1, 4), 4, 1, "same", True),
        ((1, 5), 3, 1, "same", False),
        ((5, 3), 3, 2, "same", False),
        ((3, 3), 3, 3, "valid", False),
        ((5, 7), 3, 2, "valid", False),
    ],
)
def test_convolution_is_that_of_keras_also_where_few_pixels_come_out(
    size: tuple[int, int], kernel: int, strides: int, padding: str, product: bool
) -> None:
    images = IMAGES[:, : size[0], : size[1]]
    options: dict[str, Any] = {"strides": strides, "padding": padding, "activation": "relu"}
    ours, theirs = pair(Conv2D, keras.layers.Conv2D, 6, kernel, shape=images.shape, **options)
    graph = tf.function(ours).get_concrete_function(tf.TensorSpec(images.shape)).graph
    assert ("MatMul" in {operation.type for operation in graph.get_operations()}) == product
    same(gradients(ours, images), gradients(theirs, images))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("ours", "theirs", "arguments", "options"),
    [
        (BatchNormalization, keras.layers.BatchNormalization, (), {"training": True}),
        (Conv2D, keras.layers.Conv2D, (6, 1), {}),
    ],
)
def test_half_precision_is_near_float32(precision: str, ours: Any, theirs: Any, arguments: Any, options: Any) -> None:
    small, _ = pair(ours, theirs, *arguments, dtype=f"mixed_{precision}")
    large = theirs(*arguments)
    large.build(IMAGES.shape)
    large.set_weights(small.get_weights())
    assert small(IMAGES, **options).dtype == precision
    assert {weight.dtype for weight in small.weights} == {"float32"}
    same(gradients(small, IMAGES, **options), gradients(large, IMAGES, **options), tolerance=0.03)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (lambda: BatchNormalization(axis=1)(IMAGES), "channels).*axis=1"),
        (lambda: BatchNormalization(scale=False)(IMAGES), "scale=False"),
        (lambda: BatchNormalization()(IMAGES[0, 0]), "Received: input of shape (7, 4)"),
        (lambda: Conv2D(4, 3, dilation_rate=2)(IMAGES), "dilation_rate=(2, 2)"),
        (lambda: Conv2D(4, 1, groups=2)(IMAGES), "groups=2"),
    ],
)
def test_what_they_cannot_do_is_refused(layer: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("(", "\\(").replace(")", "\\)")):
        layer()


def test_a_model_that_uses_them_is_saved_and_loaded(tmp_path: Path) -> None:
    inputs = keras.Input((5, 7, 4))
    model = keras.Model(inputs, BatchNormalization()(Conv2D(3, 1, strides=2, activation="relu")(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert [type(layer) for layer in loaded.layers[1:]] == [Conv2D, BatchNormalization]


def stock(model: ResNet) -> keras.Model:
    """The network with Keras's own layers in the places of ours, and the same weights."""

    def clone(layer: keras.Layer) -> keras.Layer:
        kind = {BatchNormalization: keras.layers.BatchNormalization, Conv2D: keras.layers.Conv2D}
        return kind.get(type(layer), type(layer)).from_config(layer.get_config())

    plain = keras.Model(model.inputs[0], model.outputs[0])
    copy = keras.models.clone_model(plain, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def test_a_network_of_stock_layers_takes_the_weights_and_computes_the_same() -> None:
    ours = ResNet((33, 47, 3), 5, variant="v1.5", blocks=(1, 2), width=8, zero_init_last_gamma=False)
    theirs = stock(ours)
    assert not {type(layer) for layer in theirs.layers} & {BatchNormalization, Conv2D}
    assert {BatchNormalization, Conv2D} <= {type(layer) for layer in ours.layers}
    names = [[(weight.path, weight.shape) for weight in model.weights] for model in (ours, theirs)]
    assert names[0] == names[1]
    images = GENERATOR.normal(size=(4, 33, 47, 3)).astype(np.float32)
    assert np.abs(np.asarray(ours(images, training=False))).max() > 0.1
    for training in (True, False):
        same([np.asarray(ours(images, training=training))], [np.asarray(theirs(images, training=training))])
    same(ours.get_weights()[1:2], theirs.get_weights()[1:2])
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("size", "strides", "shape"),
    [
        (3, 2, (2, 9, 11, 3)),
        (3, 2, (2, 8, 8, 4)),
        (2, 2, (1, 7, 7, 2)),
        ((3, 2), (1, 2), (1, 7, 9, 2)),
        ((2, 3), (3, 1), (2, 12, 12, 3)),
    ],
)
def test_pooling_by_comparison_has_the_bits_of_tensorflow(size: Any, strides: Any, shape: tuple[int, ...], dtype: str) -> None:
    images = tf.cast(tf.constant(GENERATOR.integers(-3, 4, shape)), dtype)  # few values: many windows have several largest ones
    layer = MaxPooling2D(size, strides, dtype=dtype)
    found = []
    for choice in (GPU, replace(GPU, xla=True)):
        with using(choice), tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            shares = tf.cast(np.linspace(-1, 1, int(np.prod(outputs.shape))).reshape(outputs.shape), dtype)
            total = tf.reduce_sum(outputs * shares)
        found.append([np.asarray(one, np.float32) for one in (outputs, tape.gradient(total, images))])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", [{"padding": "same"}, {"data_format": "channels_first"}])
def test_pooling_refuses_what_it_does_not_do(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="MaxPooling2D has no padding, and channels last"):
        MaxPooling2D(2, **options).build((1, 8, 8, 3))
