"""The doctor's report and its exit code."""

from collections.abc import Callable

import pytest
from typer.testing import Result

from commands import doctor
from commands.checkup.findings import Finding


def test_what_is_wrong_is_marked_and_counted_and_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    found = [Finding("git", "fine"), Finding("dvc", "not set up", wrong=True, remedy="dvc init")]
    monkeypatch.setattr(doctor, "findings", lambda: iter(found))
    result = train_resnet("doctor")
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines() if line] == [
        ["ok", "git", "fine"],
        ["WRONG", "dvc", "not", "set", "up"],
        ["->", "dvc", "init"],
        ["1", "of", "these", "is", "wrong."],
    ]
    del found[1]
    result = train_resnet("doctor")
    assert result.exit_code == 0
    assert result.stdout.endswith("\nNothing is wrong.\n")
