"""Random schedules on the simulated machine, all crashes of short histories, a state machine, and bugs that must be found."""

import gc
import pickle

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.simulated.histories import Found, State, every_crash, histories, possible
from tests.simulated.histories import main as main_of_histories
from tests.simulated.machine import File
from tests.simulated.machine import Machine as Simulated
from tests.simulated.planted import PLANTED, find, planted
from tests.simulated.replaced import replaced
from tests.simulated.schedules import COMMAND, failures, play
from tests.simulated.toy import TOYS
from tests.simulated.world import BrokenError, World

# A bug that a few seconds of schedules find; the others are found in less than one.
_LATE = {"the holder of a lock is read after it is gone"}


@pytest.mark.parametrize("block", range(2))
def test_whatever_happens_the_invariants_hold(block: int) -> None:
    with replaced():
        found = [f"{COMMAND} {seed}: {error}" for seed, error in failures(1000 * block, 1000)]
    assert found == []


@pytest.mark.parametrize("name", sorted(PLANTED.keys() - _LATE))
def test_a_planted_bug_is_found(name: str) -> None:
    assert find(name, 10) is not None


def test_at_least_ten_bugs_are_planted() -> None:
    assert len(PLANTED.keys() - _LATE) >= 10
    assert PLANTED.keys() >= _LATE


def test_all_crashes_of_every_short_history() -> None:
    found = Found()
    with replaced():
        for history in histories(3):
            every_crash(history, found)
    assert found.histories == 4 + 4**2 + 4**3
    assert found.crashes > len(found.states) > found.cuts > 1000


def test_the_states_after_a_power_cut_are_all_that_the_machine_can_leave() -> None:
    with replaced():
        for calls in range(1, 40):
            world = World(lambda number: 0)
            process = world.operate(TOYS[0], "save")
            world.advance(process, calls)
            world.kill(process)
            number, runs = possible(world.machine, runs=True)
            others, rest = possible(world.machine, runs=False)
            found = _after_power_cuts(world.machine)
            assert len(found) == number * others
            assert set(found) == {tuple(sorted((*one, *other))) for one in runs for other in rest}


def _after_power_cuts(machine: Simulated) -> list[State]:
    """What the disk of a machine has after a power cut, for each sequence of decisions; it is not changed."""
    frozen, found = pickle.dumps((machine.root, machine.pending)), list[State]()
    decisions: list[list[int]] = [[]]
    while decisions:
        taken, given = decisions.pop(), list[int]()

        def choose(number: int, taken: list[int] = taken, given: list[int] = given) -> int:
            if len(given) == len(taken):
                decisions.extend([*given, other] for other in range(1, number))
                taken.append(0)
            given.append(taken[len(given)])
            return given[-1]

        copy = Simulated(choose)
        copy.mount(*pickle.loads(frozen))
        copy.cut_power()
        content = ((path, node.data if type(node) is File else None) for path, node in copy.walk())
        found.append(tuple(sorted(one for one in content if one[0] != "/project")))
    return found


def test_a_history_that_fails_names_the_command_that_plays_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    expected = r"^python -m tests\.simulated\.histories publish publish: a folder of outputs"
    with planted("a folder is removed before its successor is durable"), pytest.raises(BrokenError, match=expected):
        for history in histories(2):
            every_crash(history, Found())
    assert main_of_histories(["publish", "publish"]) == 0  # without the bug
    assert capsys.readouterr().out.startswith("1 histories, ")


class Machine(RuleBasedStateMachine):
    """Hypothesis chooses what happens, and shortens a history that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.choices: list[int] = []
        self.world = World(self._choose)

    def _choose(self, number: int) -> int:
        return (self.choices.pop() if self.choices else 0) % number

    toys = st.sampled_from(TOYS)
    calls = st.one_of(st.integers(1, 60), st.integers(60, 1500))
    choices_of_the_world = st.lists(st.integers(0, 255), max_size=20)

    @precondition(lambda self: len(self.world.live) < 3)
    @rule(toy=toys, calls=calls, choices=choices_of_the_world)
    def start(self, toy: int, calls: int, choices: list[int]) -> None:
        """A second starter, or one with an edited parameter, is one more start."""
        self.choices = choices
        self.world.advance(self.world.train(toy), calls)  # type: ignore[arg-type]

    @precondition(lambda self: self.world.live)
    @rule(which=st.integers(0, 2), calls=calls, choices=choices_of_the_world)
    def go_on(self, which: int, calls: int, choices: list[int]) -> None:
        self.choices = choices
        self.world.advance(self.world.live[which % len(self.world.live)], calls)

    @precondition(lambda self: self.world.live)
    @rule(which=st.integers(0, 2), hard=st.booleans())
    def stop(self, which: int, hard: bool) -> None:
        process = self.world.live[which % len(self.world.live)]
        if hard:
            self.world.kill(process)
        else:
            self.world.terminate(process)

    @rule(choices=choices_of_the_world)
    def cut_power(self, choices: list[int]) -> None:
        self.choices = choices
        self.world.cut_power()

    @rule(choices=choices_of_the_world)
    def flip_a_bit(self, choices: list[int]) -> None:
        self.choices = choices
        self.world.flip()

    @rule(room=st.one_of(st.none(), st.integers(0, 2000)))
    def fill_the_disk(self, room: int | None) -> None:
        self.world.fill(room)

    @rule(number=st.integers(1, 2))
    def fail_syncs(self, number: int) -> None:
        self.world.fail_syncs(number)

    @rule(seconds=st.sampled_from([-1e6, -100.0, 100.0, 2e6]))
    def move_the_clock(self, seconds: float) -> None:
        self.world.move_clock(seconds)

    @precondition(lambda self: len(self.world.live) < 3)
    @rule(what=st.sampled_from(["remove", "tidy", "commit", "repair"]), toy=toys, calls=calls)
    def run_a_command(self, what: str, toy: int, calls: int) -> None:
        process = getattr(self.world, what)(*([toy] if what == "remove" else []))
        self.world.advance(process, calls)

    def teardown(self) -> None:
        self.world.end(TOYS[0])


def test_hypothesis_finds_no_history_that_breaks_an_invariant() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    with replaced():
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=50,
                stateful_step_count=12,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=checks,
            ),
        )


def test_a_seed_plays_the_same_schedule_again(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.simulated.schedules import main

    texts = []
    for _ in range(2):
        assert main(["--seed", "17"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "train" in texts[0]


def test_a_failure_names_its_seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.simulated import schedules

    def fail(_: World) -> None:
        raise BrokenError("it broke")

    monkeypatch.setattr(World, "cut_power", fail)
    assert schedules.main(["--count", "9"]) == 1
    assert "python -m tests.simulated.schedules --seed 0: it broke" in capsys.readouterr().out
    assert schedules.main(["--seed", "0"]) == 1
    *done, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "seed 0 failed: it broke"
    assert any("train" in line for line in done)


def test_schedules_leave_nothing_in_memory() -> None:
    # A greenlet that stays suspended is never freed, nor is the world that it was in: 25 KB a schedule.
    with replaced():
        before = worlds()
        for seed in range(20):
            play(seed)
        assert worlds() <= before + 1


def worlds() -> int:
    gc.collect()
    return sum(type(one) is World for one in gc.get_objects())
