"""Hosts that want one run: whatever happens, at most one goes on, and somebody can. Bugs planted in the lease are found."""

from collections import Counter
from collections.abc import Callable
from unittest import mock

import pytest

from tasks.training import lease
from tasks.training.lease import Lease
from tests.simulated.leases import COMMAND, Store, failures, main, play, replaced


def test_whatever_happens_one_host_goes_on() -> None:
    with replaced():
        assert [f"{COMMAND} {seed}: {error}" for seed, error in failures(0, 1000)] == []


def test_a_schedule_is_played_again_by_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "17"]) == 0
    first = capsys.readouterr().out
    with replaced():
        assert [*play(17), "seed 17: every invariant held"] == first.splitlines()
    assert main(["--count", "5"]) == 0
    assert capsys.readouterr().out.startswith("5 schedules, 0 failed, ")


def test_the_schedules_reach_what_matters() -> None:
    seen = Counter[str]()
    refuse, enter = Lease._refusal, Lease.__enter__

    def entered(self: Lease) -> Lease:
        made = enter(self)
        seen["taken over" if self._number > 1 else "first"] += 1
        return made

    def refused(self: Lease, number: int) -> Exception:
        seen["refused"] += 1
        return refuse(self, number)

    with replaced(), mock.patch.multiple(Lease, __enter__=entered, _refusal=refused):
        list(failures(0, 300))
    assert min(seen[name] for name in ("taken over", "first", "refused")) > 50, seen


def not_exclusive(patch: Callable[..., None]) -> None:
    patch(Store, "create", Store.write)


def impatient(patch: Callable[..., None]) -> None:
    patch(Lease, "_is_alive", lambda self, number: False)


def numbers_begin_again(patch: Callable[..., None]) -> None:
    def leave(self: Lease, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._taken_by is None:
            self._store.remove(self._run, lease._name(self._number))

    patch(Lease, "__exit__", leave)


def waits_for_ever(patch: Callable[..., None]) -> None:
    patch(lease, "PATIENCE", 1e9)


@pytest.mark.parametrize("bug", [not_exclusive, impatient, numbers_begin_again, waits_for_ever])
def test_a_planted_bug_is_found(bug: Callable[[Callable[..., None]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch.setattr)
    with replaced():
        assert next(failures(0, 3000), None) is not None
