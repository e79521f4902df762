"""Which test images are shown, and too little memory."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.evaluation.findings import of_classes
from tasks import evaluate
from tasks.evaluate import choose_samples


def choose(right: list[bool], sureness: list[float], count: int) -> list[int]:
    labels = np.array([0 if hit else 1 for hit in right], np.uint16)
    logits = np.log([[sure, 1 - sure] for sure in sureness]).astype(np.float32)
    found = of_classes(labels, logits, ["a", "b"], temperature=1.0)
    return choose_samples(found.correct, found.confidence, count).tolist()


def test_the_surest_mistakes_come_first_then_the_least_sure_hits() -> None:
    right = [True] * 10
    right[3] = right[7] = False
    sureness = [0.9] * 10
    sureness[7], sureness[8], sureness[2] = 0.95, 0.55, 0.6
    assert choose(right, sureness, 5) == [7, 3, 8, 2, 0]


@pytest.mark.parametrize(("wrong", "shown"), [(0, 0), (1, 1), (5, 5), (9, 5)])
def test_mistakes_take_at_most_half_of_the_places(wrong: int, shown: int) -> None:
    right = [False] * wrong + [True] * (30 - wrong)
    rows = choose(right, [0.9] * 30, 10)
    assert len(rows) == len(set(rows)) == 10
    assert sum(not right[row] for row in rows) == shown


@pytest.mark.parametrize("right", [[True] * 3, [False] * 3, [True, False, True]])
def test_a_small_split_is_shown_whole(right: list[bool]) -> None:
    assert sorted(choose(right, [0.9] * 3, 10)) == [0, 1, 2]


def test_too_little_memory_is_one_sentence_that_names_the_parameter(
    monkeypatch: pytest.MonkeyPatch, write_split: Callable[..., Path]
) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    for name in ("verify", "start_tensorflow", "_test_paths", "choose_precision"):
        monkeypatch.setattr(evaluate, name, lambda *_: None)
    monkeypatch.setattr(evaluate, "read_classes", lambda _: ["a", "b"])
    monkeypatch.setattr(evaluate, "read_label_sets", lambda _: None)
    monkeypatch.setattr("resnet.network.saving.load_model", lambda *_, **__: None)
    monkeypatch.setattr("resnet.network.folding.folded_network_with_features", lambda *_: None)
    monkeypatch.setattr("resnet.network.inference.predict_with_features", exhaust)
    given: dict[str, Any] = dict.fromkeys(list(signature(evaluate.evaluate).parameters)[1:], Path())
    params: Any = SimpleNamespace(batch_size=64, mirror=False)
    with pytest.raises(UserError, match=r"^a batch of 64 images needs more .* is free: lower evaluate.batch_size.$"):
        evaluate.evaluate(params, **(given | {"test": write_split("test", [0, 1])}))
