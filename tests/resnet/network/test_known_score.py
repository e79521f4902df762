"""The known score as bytes."""

import numpy as np
import pytest

from resnet.network.known_score import KnownScore, is_known, read_known_score

SCORE = KnownScore(
    np.array([-1, 2], np.float32),
    np.array([[1, 0, 2], [0, 1, 3]], np.float32),
    np.array([0.5, 0, 0], np.float32),
    scale=0.5,
    directions=1,
)
NUMBERS = [0.5, *SCORE.middle, *SCORE.bias, *SCORE.kernel.ravel()]


def test_the_sum_is_that_of_its_definition() -> None:
    # x = (1, 2), z = (1.5, 2, 8): 1 - (0.5 (1 + 4) - 1.5^2 + min(2, 8))
    assert SCORE(np.array([[0.0, 4.0]])).tolist() == [1 - (2.5 - 2.25 + 2)]
    assert SCORE.exact(np.array([[0.0, 4.0]])).tolist() == [1 - (2.5 - 2.25 + 2)]


def test_it_is_computed_in_float32_as_exports_do() -> None:
    x = np.array([[4097.0, 2.0]])  # its square plus 1 has 25 bits
    assert SCORE(x).dtype == np.float32
    assert SCORE.exact(x).dtype == np.float64
    assert SCORE(x)[0] != SCORE.exact(x)[0]


def test_a_score_that_is_not_finite_is_of_no_class() -> None:
    assert is_known(np.array([0.5, 0, -0.1, np.nan, np.inf, -np.inf])).tolist() == [True, True, False, False, False, False]
    assert SCORE(np.array([[np.inf, 0], [np.nan, 0], [1e38, 1e38]])).tolist() == [-1e9] * 3


def test_what_was_written_is_read() -> None:
    found = read_known_score(SCORE.to_bytes(), features=2, classes=2)
    assert (found.kernel.tolist(), found.bias.tolist()) == (SCORE.kernel.tolist(), SCORE.bias.tolist())
    assert found.middle.tolist() == SCORE.middle.tolist()
    assert (found.scale, found.directions) == (0.5, 1)


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        (b"", 2),
        (SCORE.to_bytes()[:-1], 2),
        (SCORE.to_bytes()[:-4], 2),
        (SCORE.to_bytes(), 4),  # fewer columns than classes
        (np.full(3 + 3 * 67, 1, "<f4").tobytes(), 2),  # 65 directions
        (np.array([0.5, *NUMBERS[3:]], "<f4").tobytes(), 2),  # without its middle, as written before it had one
        (np.array([-0.5, *NUMBERS[1:]], "<f4").tobytes(), 2),
        (np.array([np.nan, *NUMBERS[1:]], "<f4").tobytes(), 2),
        (np.array([*NUMBERS[:-1], np.inf], "<f4").tobytes(), 2),
        (np.full(len(NUMBERS), 3e38, "<f4").tobytes(), 2),
        (np.array([*NUMBERS[:-1], -1.001e9], "<f4").tobytes(), 2),
        (np.array([0.5, 2e9, *NUMBERS[2:]], "<f4").tobytes(), 2),
    ],
)
def test_anything_else_is_refused(content: bytes, classes: int) -> None:
    with pytest.raises(ValueError, match="its known score has"):
        read_known_score(content, features=2, classes=classes)


def test_the_largest_numbers_that_are_read_give_finite_scores() -> None:
    content = np.concatenate([[1e9], np.full(2048, -1e5), np.full(66 + 2048 * 66, 1e9)]).astype("<f4").tobytes()
    score = read_known_score(content, features=2048, classes=2)
    assert np.isfinite(score(np.full((1, 2048), 1e5, np.float32))).all()
