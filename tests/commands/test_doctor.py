"""The doctor's lines and its exit code."""

from collections.abc import Iterator

import pytest

from commands import doctor
from commands.checkup import machine, project
from commands.checkup.finding import Finding


def only(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(doctor, "_LOOKS", (("project", "git"),))
    monkeypatch.setattr(project, "check_git", lambda: iter(findings))


def test_what_is_wrong_is_marked_counted_and_mended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, Finding("git", "fine"), Finding("dvc", "not set up", wrong=True, mend="dvc init"))
    assert doctor.main([]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        ["ok", "git", "fine"],
        ["WRONG", "dvc", "not", "set", "up"],
        ["->", "dvc", "init"],
        ["1", "of", "these", "is", "wrong."],
    ]
    only(monkeypatch, Finding("git", "fine"))
    assert doctor.main([]) == 0
    assert capsys.readouterr().out.endswith("\nNothing is wrong.\n")


def test_a_look_that_fails_does_not_keep_the_others_from_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("processor", "slow")
        raise ZeroDivisionError("x")

    monkeypatch.setattr(doctor, "_LOOKS", (("machine", "processor"), ("no_such_module", "gone"), ("project", "git")))
    monkeypatch.setattr(machine, "check_processor", broken)
    monkeypatch.setattr(project, "check_git", lambda: iter([Finding("git", "fine")]))
    found = list(doctor.findings())
    assert [(one.subject, one.wrong) for one in found] == [
        ("processor", False),
        ("processor", True),
        ("gone", True),
        ("git", False),
    ]
    assert found[1].found == "cannot be looked at (ZeroDivisionError: x)"
