"""Plays random schedules, each decided by its seed.

python -m tests.simulated.schedules --seed 17          # plays one again and prints what happens
python -m tests.simulated.schedules --count 100000     # plays many; the exit code is 1 if one fails
"""

import random
import sys
from collections.abc import Iterator

from tests.simulated.replaced import replaced
from tests.simulated.seeds import failing, run
from tests.simulated.toy import TOYS
from tests.simulated.world import BrokenError, World

COMMAND = "python -m tests.simulated.schedules --seed"

_WEIGHTS = {
    "train": 10,
    "advance": 30,
    "kill": 6,
    "terminate": 4,
    "cut_power": 6,
    "race": 2,
    "flip": 4,
    "fill": 2,
    "fail_syncs": 2,
    "remove": 2,
    "tidy": 3,
    "move_clock": 2,
    "commit": 2,
    "repair": 2,
}
_ACTIONS = [name for name, weight in _WEIGHTS.items() for _ in range(weight)]
_PROCESSES = 3  # at once, at most
_RIVALS = (("remove", "train"), ("tidy", "train"), ("remove", "tidy"), ("train", "train"))
_OLD = 12  # of so many projects one has finished runs already: only then housekeeping has something to remove


def play(seed: int) -> list[str]:
    """Plays the schedule of a seed; returns what was done.

    Raises:
        BrokenError: something does not hold.
    """
    rng = random.Random(seed)
    world = World(lambda number: int(rng.random() * number))
    try:
        if seed % _OLD == 0:
            _finish(world, rng)
        for _ in range(rng.randint(4, 16)):
            act(world, rng)
        world.end(rng.choice(TOYS))
    except BrokenError as error:
        error.add_note("\n".join(world.log))
        raise
    return world.log


def act(world: World, rng: random.Random) -> None:
    """Does one thing."""
    name = rng.choice(_ACTIONS) if world.live else "train"
    if name in ("train", "remove", "tidy", "commit", "repair"):
        if len(world.live) == _PROCESSES:
            return
        toy = rng.choice(TOYS)
        process = getattr(world, name)(*([toy] if name in ("train", "remove") else []))
        calls = _calls(rng)
        world.log.append(f"{name} {TOYS.index(toy)}, {calls} calls")
        world.advance(process, calls)
    elif name == "race":
        _race(world, rng)
    elif name in ("advance", "kill", "terminate"):
        process = rng.choice(world.live)
        arguments = [_calls(rng)] if name == "advance" else []
        world.log.append(f"{name} process {world.live.index(process)} {arguments}")
        getattr(world, name)(process, *arguments)
    elif name in ("cut_power", "flip"):
        world.log.append(name)
        getattr(world, name)()
    else:
        values: dict[str, list[float | None]] = {
            "fill": [None, rng.randrange(2000)],
            "fail_syncs": [1, 2],
            "move_clock": [-1e6, -100.0, 100.0, 1e6, 2e6],
        }
        value = rng.choice(values[name])
        world.log.append(f"{name} {value}")
        getattr(world, name)(value)


def _finish(world: World, rng: random.Random) -> None:
    for toy in rng.sample(TOYS, 2):
        world.log.append(f"train {TOYS.index(toy)} to its end")
        world.finish(world.train(toy))


def _race(world: World, rng: random.Random) -> None:
    """Two processes that use the same run take turns every few system calls; one may be killed."""
    toy = rng.choice(TOYS)
    for name in rng.choice(_RIVALS):
        if len(world.live) < _PROCESSES:
            world.log.append(f"start {name} {TOYS.index(toy)}")
            getattr(world, name)(*([] if name == "tidy" else [toy]))
    for _ in range(30):
        if not world.live:
            break
        process = rng.choice(world.live)
        if rng.random() < 0.03:
            world.log.append(f"kill process {world.live.index(process)}")
            world.kill(process)
        else:
            calls = int(2 ** (rng.random() * 5))
            world.log.append(f"advance process {world.live.index(process)} {calls}")
            world.advance(process, calls)


def _calls(rng: random.Random) -> int:
    """How far a process gets: often a few system calls, sometimes to its end."""
    return int(2 ** (rng.random() * 10.5))


def failures(first: int, count: int) -> Iterator[tuple[int, BrokenError]]:
    """The seeds that fail, with the reasons."""
    return failing(play, first, count)


def main(arguments: list[str] | None = None) -> int:
    """Plays what the command line says."""
    return run(play, replaced, "tests.simulated.schedules", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
