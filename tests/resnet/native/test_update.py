"""The operations that update all variables, compared with their formulas in float64."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from resnet.native.library import load

LIBRARY: Any = load()

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="the library has not been compiled; `make setup` does that")

SHAPES = [(1,), (7,), (3, 3, 5, 7), (1, 1, 16, 32), (70_001,)]  # the last one is divided among threads
COPY = [-1, -1, 1, 0, -1]  # the third variable has the second copy, the fourth the first
DECAYED = [False, False, True, True, True]
RATE, BETA1, BETA2, EPSILON, STEPS = 0.01, 0.9, 0.999, 1e-7, 3


class Case:
    """Random variables with moments, copies of two of them, and gradients, in bfloat16 for variables with a copy."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.weights = [tf.Variable(generator.normal(0, 0.1, shape), dtype=tf.float32) for shape in SHAPES]
        self.first = [tf.Variable(generator.normal(0, 0.01, shape), dtype=tf.float32) for shape in SHAPES]
        self.second = [tf.Variable(generator.uniform(0, 1e-3, shape), dtype=tf.float32) for shape in SHAPES]
        self.copies = [tf.Variable(tf.cast(self.weights[index], tf.bfloat16)) for index in (3, 2)]
        kinds = [tf.float32 if copy < 0 else tf.bfloat16 for copy in COPY]
        self.gradients = [tf.cast(generator.normal(0, 1, shape), kind) for shape, kind in zip(SHAPES, kinds, strict=True)]

    def lists(self, *slots: list[tf.Variable], l2: float = 0.0, decay: float = 0.0) -> dict[str, Any]:
        return {
            "variables": [one.handle for one in self.weights],
            "slots": [one.handle for group in slots for one in group],
            "copies": [one.handle for one in self.copies],
            "gradients": self.gradients,
            "decayed": DECAYED,
            "copy": COPY,
            "l2": l2,
            "decay": decay,
        }

    def adam(self, **changes: Any) -> bool:
        given = self.lists(self.first, self.second) | {
            "rate": RATE,
            "beta1": BETA1,
            "beta2": BETA2,
            "beta1_power": BETA1**STEPS,
            "beta2_power": BETA2**STEPS,
            "epsilon": EPSILON,
        }
        return bool(LIBRARY.resnet_adam(**given | changes))

    def sgd(self, momentum: float, **changes: Any) -> bool:
        lists = self.lists(*[self.first] if momentum else [])
        return bool(LIBRARY.resnet_sgd(**lists | {"rate": RATE, "momentum": momentum} | changes))


def exact(tensors: list[Any]) -> list[npt.NDArray[np.float64]]:
    return [tf.cast(tensor, tf.float64).numpy() for tensor in tensors]


def assert_close(found: list[tf.Variable], wanted: list[npt.NDArray[np.float64]]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(("l2", "decay"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.5)])
def test_adam(l2: float, decay: float) -> None:
    case = Case()
    w, m, v, g = exact(case.weights), exact(case.first), exact(case.second), exact(case.gradients)
    for i, decayed in enumerate(DECAYED):
        g[i] = g[i] + decayed * l2 * w[i]
        m[i] = BETA1 * m[i] + (1 - BETA1) * g[i]
        v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] ** 2
        corrected = RATE * np.sqrt(1 - BETA2**STEPS) / (1 - BETA1**STEPS)
        w[i] = w[i] * (1 - decayed * decay * RATE) - corrected * m[i] / (np.sqrt(v[i]) + EPSILON)

    assert case.adam(l2=l2, decay=decay)

    assert_close(case.weights, w)
    assert_close(case.first, m)
    assert_close(case.second, v)
    for copy, index in zip(case.copies, (3, 2), strict=True):
        np.testing.assert_array_equal(copy.numpy(), tf.cast(case.weights[index], tf.bfloat16).numpy())


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_sgd(momentum: float, l2: float) -> None:
    case = Case()
    w, m, g = exact(case.weights), exact(case.first), exact(case.gradients)
    for i, decayed in enumerate(DECAYED):
        g[i] = g[i] + decayed * l2 * w[i]
        if momentum:
            m[i] = momentum * m[i] - RATE * g[i]
            w[i] = w[i] + momentum * m[i] - RATE * g[i]
        else:
            w[i] = w[i] - RATE * g[i]

    assert case.sgd(momentum, l2=l2)

    assert_close(case.weights, w)
    assert_close(case.first, m)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stays_where_it_is(bad: float) -> None:
    case = Case()
    numbers = exact(case.gradients)[2]
    numbers[1, 2, 3, 4] = bad
    case.gradients[2] = tf.cast(numbers, tf.bfloat16)

    assert case.adam()  # the variable has four dimensions

    assert np.argwhere(~np.isfinite(case.weights[2].numpy())).tolist() == [[1, 2, 3, 4]]
    assert np.argwhere(~np.isfinite(tf.cast(case.copies[1], tf.float32).numpy())).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["weights", "gradients"])
def test_one_dimensional_variables_and_their_gradients_are_checked(bad: float, where: str) -> None:
    case = Case()
    numbers = exact(getattr(case, where))[1]
    numbers[6] = bad
    if where == "weights":
        case.weights[1].assign(numbers.astype(np.float32))
    else:
        case.gradients[1] = tf.constant(numbers, tf.float32)

    assert not case.adam()


def test_a_tensor_that_was_read_before_does_not_change() -> None:
    case = Case()
    read = [one.read_value() for one in (*case.weights, *case.first, *case.copies)]
    before = [one.numpy().copy() for one in read]

    case.adam()

    assert all(np.array_equal(now.numpy(), then) for now, then in zip(read, before, strict=True))
    assert not np.array_equal(case.weights[0].numpy(), before[0])


def test_a_copy_that_is_not_of_the_weights_is_an_error() -> None:
    case = Case()
    numbers = case.weights[3].numpy()
    numbers[0, 0, 15, 31] += 0.01
    case.weights[3].assign(numbers)

    for _ in range(3):  # the first one has updated the weights by a wrong gradient, so the next ones must not pass
        with pytest.raises(tf.errors.FailedPreconditionError, match="bfloat16 copy"):
            case.adam()
    for copy, index in zip(case.copies, (3, 2), strict=True):
        copy.assign(tf.cast(case.weights[index], tf.bfloat16))
    assert case.adam()


def test_lists_that_do_not_belong_together_are_refused() -> None:
    case = Case()
    handles = [one.handle for one in case.weights]
    for wrong in (
        {"decayed": [True]},
        {"copy": [-1, -1, 2, 0, -1]},
        {"gradients": case.gradients[1:]},
        {"slots": handles},
        {"gradients": [tf.zeros(2), *case.gradients[1:]]},
        {"variables": [handles[1], *handles[1:]]},
        {"rate": tf.zeros(2)},
    ):
        with pytest.raises(tf.errors.InvalidArgumentError):
            case.adam(**wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match="lists"):
        case.sgd(0.9, slots=[])
