"""What `evaluate` writes about answers, for one label and for several labels an image."""

import numpy as np
import pytest
from scipy.special import logit

from resnet.core import row_blocks
from resnet.core.label_sets import LabelSets
from resnet.evaluation.findings import Findings, of_classes, of_sets, probabilities_of_observed

CLASSES = ["cat", "dog", "owl"]
SETS = LabelSets.of_numbers([[0, 2], [], [1]], 3)
LOGITS = logit(np.array([[0.9, 0.1, 0.8], [0.2, 0.3, 0.1], [0.7, 0.4, 0.2], [0.1, 0.9, 0.1]])).astype(np.float32)


@pytest.fixture
def several() -> Findings:
    labels = np.array([0, 1, 2, 0], np.uint16)
    return of_sets(labels, SETS, LOGITS, CLASSES, temperature=1.0, offset=0.0, thresholds=[0.5, 0.5, 0.5])


def test_labels_and_predictions_are_texts_of_sets(several: Findings) -> None:
    assert several.labels == ["cat|owl", "", "dog", "cat|owl"]
    assert several.predicted == ["cat|owl", "", "cat", "dog"]
    assert several.correct.tolist() == [True, True, False, False]
    assert several.figures["accuracy"] == 0.5
    assert list(several.figures)[-2:] == ["calibration_error_before", "loss_before"]
    assert several.details["average_precision_classes"] == 3


def test_a_map_observes_the_class_that_tells_most(several: Findings) -> None:
    # The wrong cat of image 2 has 0.7, which is further from the truth than the missing dog's 0.4; image 3 lacks cat and owl.
    assert several.observed.tolist() == [0, 1, 0, 0]
    rows = np.array([0, 2])
    assert probabilities_of_observed(LOGITS[rows], several.observed[rows]) == pytest.approx([0.9, 0.7])


def test_blocks_of_rows_change_no_text(several: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "_NUMBERS", 6)
    labels = np.array([0, 1, 2, 0], np.uint16)
    again = of_sets(labels, SETS, LOGITS, CLASSES, temperature=1.0, offset=0.0, thresholds=[0.5, 0.5, 0.5])
    assert again.predicted == several.predicted


def test_with_one_label_an_image_they_are_names() -> None:
    found = of_classes(np.array([0, 1], np.uint16), LOGITS[:2], CLASSES, temperature=2.0)
    assert (found.labels, found.predicted) == (["cat", "dog"], ["cat", "dog"])
    assert found.observed.tolist() == [0, 1]
    assert "micro_f1" not in found.figures
    assert found.figures["loss_before"] != found.figures["loss"]
