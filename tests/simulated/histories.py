"""All crashes of short histories: after each system call of the last operation, in each state that the disk may be left in.

Training resumes from each state once: what it does depends on the state alone, not on the history. The folder `.dvc`, where the
runs are, and the rest of the project, where the outputs are, are tried separately: a change of entries concerns one of them
only, and resuming neither reads nor changes the outputs. So the states of the two add up, where their pairs would multiply.

python -m tests.simulated.histories                # every sequence of at most four operations
python -m tests.simulated.histories 3              # of at most three
python -m tests.simulated.histories save publish   # one sequence, which plays a failure again
"""

import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from tests.simulated.machine import Change, File, Folder, Machine, contents
from tests.simulated.replaced import replaced
from tests.simulated.toy import TOYS
from tests.simulated.world import OPERATIONS, BrokenError, World

COMMAND = "python -m tests.simulated.histories"
RUNS = "/project/.dvc"

_THREE_WEEKS = 21 * 86400.0
_LATER_PROCESS = 1000  # its number is none of those in the names of files

# Paths in their order, each with the content of its file, or None for a folder.
State = tuple[tuple[str, bytes | None], ...]


@dataclass
class Found:
    """What was tried.

    Attributes:
        histories: sequences of operations.
        cuts: moments at which the power went.
        crashes: pairs of a moment and a state of the whole disk.
        states: different states of one of the two parts of the disk, with what was announced as durable.
    """

    histories: int = 0
    cuts: int = 0
    crashes: int = 0
    states: set[tuple[State, str]] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.cuts:,} power cuts, {self.crashes:,} crashes, "
            f"{len(self.states):,} different states of a part of the disk"
        )


def histories(longest: int) -> Iterator[tuple[str, ...]]:
    """All sequences of operations up to a length."""
    for length in range(1, longest + 1):
        yield from itertools.product(OPERATIONS, repeat=length)


def every_crash(history: tuple[str, ...], found: Found) -> None:
    """Lets the power go after each system call of the last operation, and resumes from each possible state of the disk.

    Args:
        history: the operations.
        found: what was tried already; this history is added.

    Raises:
        BrokenError: something does not hold. Its message has a command that tries this history again.
    """
    found.histories += 1
    try:
        world = _world()
        for operation in history[:-1]:
            world.finish(world.operate(TOYS[0], operation))
        process = world.operate(TOYS[0], history[-1])
        while not process.dead:
            world.advance(process, 1)
            found.cuts += 1
            _try_states(world, found)
            World.current = world
    except BrokenError as error:
        raise BrokenError(f"{COMMAND} {' '.join(history)}: {error}") from error


def _world() -> World:
    world = World(lambda number: 0)
    world.move_clock(_THREE_WEEKS)  # there is an old run, which `prune` removes
    return world


def _try_states(world: World, found: Found) -> None:
    promised, crashes = str(world.promised), []
    for runs in (True, False):
        number, states = possible(world.machine, runs=runs)
        crashes.append(number)
        for state in states:
            key = (state, promised if runs else "")
            if key not in found.states:
                found.states.add(key)
                _recover(state, world.promised if runs else {}, runs)
    found.crashes += prod(crashes)


def _recover(state: State, promised: dict[str, dict[tuple[int, int], bool]], runs: bool) -> None:
    world = _world()
    world.promised = {run: dict(known) for run, known in promised.items()}
    _lay(world.machine, state, runs)
    world.machine.started = _LATER_PROCESS
    world.check()
    outputs = _listed(world.machine.root)
    process = world.operate(TOYS[0], "resume")
    world.finish(process)
    if process.error is not None:
        world.fail(f"after a power cut it ends with {process.error!r}")
    if _listed(world.machine.root) != outputs:
        world.fail("resuming changes an output")


def _listed(folder: Folder, above: str = "") -> State:
    """The files outside the folder of the runs."""
    found: list[tuple[str, bytes | None]] = []
    for name, node in folder.entries.items():
        if type(node) is Folder and f"{above}/{name}" != RUNS:
            found += [(f"{above}/{name}", None), *_listed(node, f"{above}/{name}")]
        elif type(node) is File:
            found.append((f"{above}/{name}", node.data))
    return tuple(sorted(found))


def _lay(machine: Machine, state: State, runs: bool) -> None:
    """Gives one part of the disk the content of a state; the other part stays as it is in a new project."""
    machine.settle()
    project = machine.root.entries["project"]
    assert type(project) is Folder
    for name in list(project.entries):
        if (name == ".dvc") == runs:
            del project.entries[name]
    machine.mount(machine.root, [])
    for path, content in state:
        node: File | Folder = Folder(machine.clock) if content is None else File(machine.clock)
        if type(node) is File and content is not None:
            node.data = content
        folder, name = machine.folder_of(path)
        folder.entries[name] = node
    for folder in [machine.root, *(node for _, node in machine.walk() if type(node) is Folder)]:
        folder.durable = dict(folder.entries)
    machine.settle()


def possible(machine: Machine, *, runs: bool) -> tuple[int, set[State]]:
    """What a power cut may leave of one part of the disk.

    Args:
        machine: whose disk it is.
        runs: the folder of the runs, or the rest.

    Returns:
        The number of ways to choose which changes are kept and what each file contains, and the different states.
    """
    project = machine.root.entries["project"]
    assert type(project) is Folder
    everything, below = _folders(machine, machine.root), _folders(machine, project.entries[".dvc"])
    if not runs:
        below = everything - below
    # Changes of a folder that is gone change nothing that is left.
    pending = [change for change in machine.pending if any(folder in below for folder, _, _ in change)]
    assert all(folder in below or folder not in everything for change in pending for folder, _, _ in change)
    number, states = 0, set[State]()
    known: dict[tuple[tuple[str, int], ...], int] = {}
    for kept in itertools.product((False, True), repeat=len(pending)):
        tree = _walk(machine.root, _after([change for change, keep in zip(pending, kept, strict=True) if keep]), runs)
        shape = tuple((path, id(node)) for path, node in tree)
        if shape not in known:
            variants = [_variants(path, node) for path, node in tree]
            known[shape] = prod(map(len, variants))
            states.update(itertools.product(*variants))
        number += known[shape]
    return number, states


def _folders(machine: Machine, top: File | Folder) -> set[Folder]:
    """The folders that are, or may be after a power cut, in a folder, and itself."""
    assert type(top) is Folder
    found, waiting = {top}, [top]
    while waiting:
        folder = waiting.pop()
        inside = [*folder.entries.values(), *folder.durable.values()]
        inside += [node for change in machine.pending for parent, _, node in change if parent is folder and node is not None]
        new = {node for node in inside if type(node) is Folder} - found
        found |= new
        waiting += new
    return found


def _after(changes: list[Change]) -> dict[Folder, dict[str, File | Folder]]:
    """The durable entries of the folders that some changes change."""
    entries: dict[Folder, dict[str, File | Folder]] = {}
    for change in changes:
        for folder, name, node in change:
            inside = entries.setdefault(folder, dict(folder.durable))
            if node is None:
                inside.pop(name, None)
            else:
                inside[name] = node
    return entries


def _walk(root: Folder, changed: dict[Folder, dict[str, File | Folder]], runs: bool) -> list[tuple[str, File | Folder]]:
    """The paths of one part of the disk in their order, with their inodes."""
    found: list[tuple[str, File | Folder]] = []
    waiting = [("", root)]
    while waiting:
        above, folder = waiting.pop()
        for name, node in changed.get(folder, folder.durable).items():
            path = f"{above}/{name}"
            ours = path == RUNS or path.startswith(f"{RUNS}/")
            if ours == runs and path != "/project":
                found.append((path, node))
            if type(node) is Folder and (runs or not ours):
                waiting.append((path, node))
    return sorted(found, key=lambda one: one[0])


def _variants(path: str, node: File | Folder) -> list[tuple[str, bytes | None]]:
    if type(node) is not File:
        return [(path, None)]
    states = [node.data] if node.data == node.durable else contents(node.durable, node.data)
    return [(path, state) for state in states]


def main(arguments: list[str]) -> int:
    """Tries all."""
    began, found = time.process_time(), Found()
    wanted = [tuple(arguments)] if arguments and not arguments[0].isdecimal() else histories(int(*arguments or ["4"]))
    with replaced():
        for history in wanted:
            every_crash(history, found)
    print(f"{found}, {time.process_time() - began:.0f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
