"""The known score as bytes."""

import numpy as np
import pytest

from resnet.network.known_score import KnownScore, read_known_score

SCORE = KnownScore(np.array([[1, 0, 2], [0, 1, 3]], np.float32), np.array([0.5, 0, 0], np.float32), scale=0.5, directions=1)


def test_the_sum_is_that_of_its_definition() -> None:
    # z = (1.5, 2, 8): 1 - (0.5 (1 + 4) - 1.5^2 + min(2, 8))
    assert SCORE(np.array([[1.0, 2.0]])).tolist() == [1 - (2.5 - 2.25 + 2)]


def test_what_was_written_is_read() -> None:
    found = read_known_score(SCORE.to_bytes(), features=2, classes=2)
    assert (found.kernel.tolist(), found.bias.tolist()) == (SCORE.kernel.tolist(), SCORE.bias.tolist())
    assert (found.scale, found.directions) == (0.5, 1)


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        (b"", 2),
        (SCORE.to_bytes()[:-1], 2),
        (SCORE.to_bytes()[:-4], 2),
        (SCORE.to_bytes(), 4),  # fewer columns than classes
        (np.full(1 + 3 * 67, 1, "<f4").tobytes(), 2),  # 65 directions
        (np.array([-0.5, *SCORE.bias, *SCORE.kernel.ravel()], "<f4").tobytes(), 2),
        (np.array([np.nan, *SCORE.bias, *SCORE.kernel.ravel()], "<f4").tobytes(), 2),
        (np.array([0.5, *SCORE.bias, *SCORE.kernel.ravel()[:-1], np.inf], "<f4").tobytes(), 2),
    ],
)
def test_anything_else_is_refused(content: bytes, classes: int) -> None:
    with pytest.raises(ValueError, match="its known score has"):
        read_known_score(content, features=2, classes=classes)
