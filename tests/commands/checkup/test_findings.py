"""The checks of the doctor, one after another."""

from collections.abc import Iterator

import pytest

from commands.checkup import checkpoint_store, machine, project
from commands.checkup import findings as module
from commands.checkup.findings import CHECKS, Finding, findings


def test_a_check_that_fails_is_a_finding_and_the_next_checks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("processor", "slow")
        raise ZeroDivisionError("x")

    monkeypatch.setattr(module, "CHECKS", (("machine", "processor"), ("no_such_module", "gone"), ("project", "git")))
    monkeypatch.setattr(machine, "check_processor", broken)
    monkeypatch.setattr(project, "check_git", lambda: iter([Finding("git", "fine")]))
    found = list(findings())
    assert [(one.subject, one.wrong) for one in found] == [
        ("processor", False),
        ("processor", True),
        ("gone", True),
        ("git", False),
    ]
    assert found[1].found == "cannot be examined (ZeroDivisionError: x)"


def test_every_check_of_the_modules_is_in_the_list() -> None:
    for name, group in (("machine", machine), ("project", project), ("checkpoint_store", checkpoint_store)):
        listed = {f"check_{check}" for place, check in CHECKS if place == name}
        called = {"check_packages", "check_gpus", "check_cache"}  # by other checks
        assert {one for one in vars(group) if one.startswith("check_")} - called == listed
