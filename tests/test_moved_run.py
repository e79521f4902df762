"""A run that is killed on one host and goes on on another one; `tests/soak/moved_runs.py` does it 50 times."""

from tests.soak.moved_runs import moved


def test_a_run_that_moves_between_hosts_gives_the_same_bytes() -> None:
    assert moved(1) == 1
