"""The fused operations compared with their formulas in float64, and with finite differences."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from resnet.native import forward  # noqa: F401 - registers the gradients
from resnet.native.library import load

EPSILON = 1e-5
SHAPES = [
    (1, 1, 1, 1),
    (2, 1, 1, 3),
    (3, 5, 7, 1),
    (2, 3, 3, 17),
    (5, 4, 4, 64),
    (1, 9, 9, 130),
    (2, 28, 28, 96),
    (33, 2, 2, 512),
]

Array = npt.NDArray[np.float64]

LIBRARY: Any = load()

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="the library has not been compiled; `make setup` does that")


class Case:
    """Random inputs of one shape, and what the formulas make of them. `exact` has the inputs after rounding to the dtype."""

    def __init__(self, shape: tuple[int, ...], dtype: tf.DType, mean: float = 1.0) -> None:
        generator = np.random.default_rng(sum(shape))
        self.x = tf.cast(generator.normal(mean, 2.0, shape), dtype)
        self.shortcut, self.above, self.beside = (tf.cast(generator.normal(0.0, 1.0, shape), dtype) for _ in range(3))
        self.scale = tf.constant(generator.uniform(-1.5, 1.5, shape[-1]), tf.float32)
        self.offset = tf.constant(generator.normal(0.0, 1.0, shape[-1]), tf.float32)


def normalised(case: Case) -> tuple[Array, Array, Array]:
    x = exact(case.x)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + EPSILON), mean, variance


def expected_gradients(case: Case, above: Array) -> tuple[Array, Array, Array]:
    """dx, d scale and d offset: Ioffe and Szegedy 2015, section 3, simplified."""
    unit, _, variance = normalised(case)
    dscale, doffset = (above * unit).sum((0, 1, 2)), above.sum((0, 1, 2))
    count = above[..., 0].size
    factor = exact(case.scale) / np.sqrt(variance + EPSILON)
    return factor * (above - doffset / count - unit * dscale / count), dscale, doffset


def exact(tensor: tf.Tensor) -> Array:
    return tf.cast(tensor, tf.float64).numpy()


def norm(case: Case, x: tf.Tensor | None = None, *, relu: bool) -> Any:
    given = case.x if x is None else x
    return LIBRARY.resnet_norm(given, case.scale, case.offset, epsilon=EPSILON, relu=relu)


def norm_add(case: Case, branches: int = 2) -> Any:
    return LIBRARY.resnet_norm_add(case.x, case.shortcut, case.scale, case.offset, epsilon=EPSILON, branches=branches)


def assert_close(got: tf.Tensor, wanted: Array, least: float = 1.0) -> None:
    """Equal within some units of the last place of the dtype, relative to the largest number."""
    unit = 2.0**-8 if got.dtype == tf.bfloat16 else 2e-6
    assert np.abs(exact(got) - wanted).max() <= unit * max(np.abs(wanted).max(), least)


def assert_gradients_close(case: Case, got: list[tf.Tensor], above: Array) -> None:
    """As `assert_close`, but relative to the numbers that are added up, which may cancel each other."""
    factor = np.abs(exact(case.scale)) / np.sqrt(normalised(case)[2] + EPSILON)
    dx, dscale, doffset = expected_gradients(case, above)
    assert_close(got[0], dx, float((factor * np.abs(above)).max()))
    for one, other in zip(got[1:], (dscale, doffset), strict=True):
        assert_close(one, other, float(np.abs(above).sum((0, 1, 2)).max()))


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [True, False])
def test_normalisation_and_relu(shape: tuple[int, ...], dtype: tf.DType, relu: bool) -> None:
    case = Case(shape, dtype)
    unit, mean, variance = normalised(case)
    wanted = unit * exact(case.scale) + exact(case.offset)

    y, found_mean, found_variance, inverse = norm(case, relu=relu)

    assert y.dtype == dtype
    assert_close(y, np.maximum(wanted, 0) if relu else wanted)
    assert_close(found_mean, mean)
    assert_close(found_variance, variance)
    np.testing.assert_allclose(exact(inverse), 1 / np.sqrt(variance + EPSILON), rtol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [True, False])
def test_the_gradients_of_normalisation_and_relu(shape: tuple[int, ...], dtype: tf.DType, relu: bool) -> None:
    case = Case(shape, dtype)
    passes = normalised(case)[0] * exact(case.scale) + exact(case.offset) > 0

    with tf.GradientTape() as tape:
        sources = [case.x, case.scale, case.offset]
        tape.watch(sources)
        y = norm(case, relu=relu)[0]
    got = tape.gradient(y, sources, case.above)

    assert_gradients_close(case, got, exact(case.above) * passes if relu else exact(case.above))


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("branches", [1, 2])
def test_normalisation_sum_and_relu_with_gradients(shape: tuple[int, ...], dtype: tf.DType, branches: int) -> None:
    case = Case(shape, dtype)
    sums = normalised(case)[0] * exact(case.scale) + exact(case.offset) + exact(case.shortcut)
    together = exact(case.above) + (exact(case.beside) if branches == 2 else 0)

    with tf.GradientTape() as tape:
        sources = [case.x, case.scale, case.offset, case.shortcut]
        tape.watch(sources)
        outputs, mean, *_ = norm_add(case, branches)
    *got, got_shortcut = tape.gradient(outputs, sources, [case.above, case.beside][:branches])

    assert len(outputs) == branches
    for y in outputs:
        assert_close(y, np.maximum(sums, 0))
    assert_close(mean, normalised(case)[1])
    # The mask is that of the computed y: where the exact sum is next to 0, it may be on the other side.
    passed = together * (exact(outputs[0]) > 0)
    assert_close(got_shortcut, passed)
    assert_gradients_close(case, got, exact(got_shortcut))  # after rounding


def test_the_gradients_are_those_of_finite_differences() -> None:
    case = Case((2, 3, 3, 4), tf.float32)

    def loss(x: tf.Tensor) -> tf.Tensor:
        y = norm(case, x, relu=True)[0]
        outputs = LIBRARY.resnet_norm_add(y, x, case.scale, case.offset, epsilon=EPSILON, branches=2)[0]
        return tf.reduce_sum(outputs[0] * case.above + outputs[1] * case.beside)

    theoretical, numerical = tf.test.compute_gradient(loss, [case.x], delta=1e-2)

    np.testing.assert_allclose(theoretical[0], numerical[0], atol=0.02)


def test_a_mean_that_is_large_beside_the_deviation_keeps_the_variance() -> None:
    case = Case((4, 8, 8, 16), tf.float32, mean=10_000.0)

    variance = norm(case, relu=False)[2]

    np.testing.assert_allclose(exact(variance), exact(case.x).var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_nan_and_infinity_reach_the_output_and_the_gradients(bad: float, dtype: tf.DType) -> None:
    case = Case((2, 3, 3, 4), dtype)
    numbers = exact(case.x).copy()
    numbers[1, 1, 1, 2] = bad
    case.x = tf.cast(numbers, dtype)

    with tf.GradientTape() as tape:
        tape.watch([case.x, case.scale])
        outputs = [norm(case, relu=True)[0], *norm_add(case)[0]]
        total = tf.add_n([tf.reduce_sum(tf.cast(y, tf.float32)) for y in outputs])
    dx, dscale = tape.gradient(total, [case.x, case.scale])

    for y in outputs:
        assert np.isnan(exact(y)[..., 2]).any()
        assert np.isfinite(exact(y)[..., [0, 1, 3]]).all()
    assert np.isnan(exact(dx)[..., 2]).any()
    assert np.isnan(exact(dscale)[2])
    assert np.isfinite(exact(dscale)[[0, 1, 3]]).all()


def test_a_nan_of_a_gradient_passes() -> None:
    case = Case((2, 3, 3, 4), tf.bfloat16)
    numbers = np.ones((2, 3, 3, 4))
    numbers[0, 0, 0, 1] = np.nan
    case.offset = case.offset + 100.0  # nothing is cut off

    with tf.GradientTape() as tape:
        tape.watch(case.offset)
        y = norm(case, relu=True)[0]
    doffset = tape.gradient(y, case.offset, tf.cast(numbers, tf.bfloat16))

    assert np.isnan(exact(doffset)).tolist() == [False, True, False, False]


def test_numbers_are_rounded_to_the_nearest_bfloat16() -> None:
    """With a scale of 0 the output is the offset, so every number can be rounded."""
    offsets = np.array([1.0, 1.00390625, 1.01171875, -3.3895314e38, 3.3961775e38, 1e-40, 0.1, -0.0], np.float32)
    x = tf.cast(np.arange(16.0).reshape((2, 1, 1, 8)), tf.bfloat16)

    y = LIBRARY.resnet_norm(x, tf.zeros(8), tf.constant(offsets), epsilon=EPSILON, relu=False)[0]

    np.testing.assert_array_equal(exact(y)[0, 0, 0], exact(tf.cast(offsets, tf.bfloat16)))


def test_a_nan_of_which_all_bits_are_set_is_rounded_to_a_nan() -> None:
    offset = tf.bitcast(tf.fill([1], 0x7FFFFFFF), tf.float32)

    y = LIBRARY.resnet_norm(tf.ones((2, 1, 1, 1), tf.bfloat16), tf.zeros(1), offset, epsilon=EPSILON, relu=False)[0]

    assert np.isnan(exact(y)).all()


def test_inputs_that_do_not_fit_are_refused_by_shape() -> None:
    case = Case((2, 3, 3, 4), tf.float32)
    for wrong in ({"x": tf.zeros((3, 4))}, {"x": tf.zeros((0, 3, 3, 4))}, {"scale": tf.zeros(5)}):
        given = {"x": case.x, "scale": case.scale, "offset": case.offset} | wrong
        with pytest.raises(tf.errors.InvalidArgumentError, match="Received"):
            LIBRARY.resnet_norm(**given, epsilon=EPSILON, relu=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape of x"):
        LIBRARY.resnet_norm_add(case.x, case.x[:1], case.scale, case.offset, epsilon=EPSILON, branches=1)
