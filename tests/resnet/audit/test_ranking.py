"""The ranking of suspects, on probabilities whose wrong labels are known."""

import sys

import numpy as np
import numpy.typing as npt
import pytest

from resnet.audit.ranking import rank
from resnet.core.errors import UserError


def sure_networks(
    images: int, classes: int, flips: int, seed: int = 0
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32], set[int]]:
    """Labels of which some are flipped, and the probabilities of networks that know the right ones, with some doubt."""
    generator = np.random.default_rng(seed)
    right = generator.integers(0, classes, images)
    logits = generator.normal(0, 1, (images, classes))
    logits[np.arange(images), right] += 5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = generator.choice(images, flips, replace=False)
    labels = right.copy()
    labels[wrong] = (right[wrong] + generator.integers(1, classes, flips)) % classes
    return labels.astype(np.uint16), probabilities.astype(np.float32), set(wrong.tolist())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_known_flips_come_first(seed: int) -> None:
    labels, probabilities, wrong = sure_networks(1000, 5, 50, seed)
    found = rank(labels, probabilities)
    assert sorted(found.order.tolist()) == list(range(1000))
    assert len(wrong & set(found.order[:50].tolist())) >= 45
    assert len(wrong & set(found.order[: found.suspects].tolist())) >= 40
    assert found.suspects <= 70
    right = (labels.astype(int) != probabilities.argmax(axis=1)).nonzero()[0]
    assert (found.suggested[right] == probabilities.argmax(axis=1)[right]).all()


def test_the_score_is_the_margin_to_the_next_class_and_the_suggestion_is_never_the_label() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5], [0.2, 0.3, 0.5]] * 5, np.float32)
    labels = np.array([0, 0, 2, 1] * 5, np.uint16)
    found = rank(labels, probabilities)
    # (p(label) - p(next) + 1) / 2
    assert found.score[:4].tolist() == pytest.approx([0.75, 0.25, 0.625, 0.4], abs=1e-6)
    assert found.suggested[:4].tolist() == [1, 1, 0, 2]


def test_right_labels_are_no_suspects() -> None:
    labels, probabilities, _ = sure_networks(300, 3, 0)
    sure = np.eye(3, dtype=np.float32)[labels] * 0.98 + np.float32(0.02 / 3)
    assert rank(labels, sure).suspects == 0
    assert rank(labels, probabilities).suspects <= 9  # the networks themselves are wrong on a few


def test_a_class_without_images_and_one_of_two_are_no_obstacle() -> None:
    labels, probabilities, _ = sure_networks(200, 3, 10)
    wide = np.pad(probabilities, ((0, 0), (0, 2))) + np.float32(1e-6)
    labels[:2] = 3
    found = rank(labels, wide)
    assert {0, 1} <= set(found.order[:30].tolist())


def test_without_cleanlab_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    labels, probabilities, _ = sure_networks(20, 2, 1)
    with pytest.raises(UserError) as caught:
        rank(labels, probabilities)
    assert str(caught.value) == "an audit needs cleanlab, which is not installed; run `pip install -e '.[audit]'`."
