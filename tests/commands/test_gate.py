"""The conditions that a network must meet."""

from collections.abc import Callable

import pytest
from typer.testing import Result

from commands import gate
from commands.gate import judge
from commands.results import RevisionResults
from resnet.core.errors import UserError
from tasks.evaluate import Evaluate
from tasks.stage.params import Params

pytestmark = pytest.mark.usefixtures("in_revisions")


@pytest.fixture
def conditions() -> Callable[[float | None, str | None], Evaluate]:
    return lambda minimum, baseline: Evaluate(
        batch_size=1, mirror=False, samples=1, minimum_accuracy=minimum, baseline=baseline
    )


def test_each_condition_that_is_set_is_judged(conditions: Callable[[float | None, str | None], Evaluate]) -> None:
    results = RevisionResults("workspace")
    assert judge(conditions(None, None), results) == []
    (minimum,) = judge(conditions(0.61, None), results)
    assert (minimum.name, minimum.passed) == ("minimum_accuracy", False)
    minimum, baseline = judge(conditions(0.6, "first"), results)
    assert minimum.passed
    assert baseline.passed  # two lost and one gained of five are within chance
    assert baseline.why.startswith("against first (")


def test_a_test_with_mirror_images_is_named_beside_a_plain_one(
    conditions: Callable[[float | None, str | None], Evaluate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RevisionResults, "parameters", property(lambda self: {"evaluate.mirror": self.commit is None}))
    (baseline,) = judge(conditions(None, "first"), RevisionResults("workspace"))
    assert "worse. Only the second was tested with each image's mirror image (`evaluate.mirror`), " in baseline.why


def test_a_baseline_with_other_test_images_is_refused(conditions: Callable[[float | None, str | None], Evaluate]) -> None:
    with pytest.raises(UserError, match="the test images of more and workspace differ"):
        judge(conditions(None, "more"), RevisionResults("workspace"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 0, "gate: nothing was checked: neither evaluate.minimum_accuracy nor evaluate.baseline is set.\n"),
        (["--minimum-accuracy", "0.6"], 0, "gate: passed: accuracy 0.6000 is at least 0.6.\n"),
        (["--minimum-accuracy", "0.61"], 1, "gate: FAILED: accuracy 0.6000 is below 0.61.\n"),
        (["first", "--minimum-accuracy", "0.61"], 0, "gate: passed: accuracy 0.8000 is at least 0.61.\n"),
        (["--baseline", "first"], 0, "gate: passed: against first ("),
    ],
)
def test_the_exit_code_is_the_verdict(
    arguments: list[str],
    code: int,
    words: str,
    conditions: Callable[[float | None, str | None], Evaluate],
    monkeypatch: pytest.MonkeyPatch,
    train_resnet: Callable[..., Result],
) -> None:
    monkeypatch.setattr(gate, "load_params", lambda *_: Params(0, {"evaluate": conditions(None, None)}))
    result = train_resnet("gate", *arguments)
    assert result.exit_code == code
    assert result.stdout.startswith(words)
