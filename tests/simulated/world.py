"""A project on a simulated machine, in which a toy is trained: the actions, and what must hold whatever happens.

Everything around the toy is the program's own code: the state, the checkpoints, the lock of the run, the choice of what to
resume from, the signal, the outputs, housekeeping, and the repair of DVC's lock file.
"""

import errno
import hashlib
import signal
from functools import lru_cache

from commands import repair
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.training import checkpoint_files
from resnet.training.checkpoint_files import KEPT
from resnet.training.state import TrainingState
from tasks.stage.signals import EndedError
from tasks.training import resume, runs
from tests.simulated import toy as oracle
from tests.simulated.machine import Choose, File, Folder, Machine, Process
from tests.simulated.paths import on
from tests.simulated.toy import STEPS, Position, Toy, Variable, expected

OPERATIONS = ("save", "publish", "prune", "resume")
HOME = "/project/.dvc/tmp/checkpoints"
KEPT_FINISHED = 1  # in the simulation, so that three runs are enough to see one go
_MODEL, _HISTORY, _PAGES, _LOCK = "/project/models/toy.bin", "/project/history.json", "/project/pages", "/project/dvc.lock"
_NOTES = "/project/notes"
_DVC_YAML = "/project/dvc.yaml"
_OUTPUTS = ("/project/models", _HISTORY, _PAGES, "/project/.partial-", "/project/.old-", "/project/.dvc/tmp/checkpoints")
_DVC = (_LOCK, "/project/.dvc/tmp/lock", "/project/.partial-")
_BYSTANDER = "0123456789abcdef"  # a run of somebody else
_DAY = 86400.0


class BrokenError(AssertionError):
    """Something that must hold does not."""


class World:
    """The project, its processes, and what was promised.

    Args:
        choose: decides what the outside world decides.

    Attributes:
        machine: on which everything happens.
        log: what was done, for people.
        promised: of each run, the positions of the last checkpoints that were announced as durable, and whether each is intact.
    """

    current: "World"

    def __init__(self, choose: Choose) -> None:
        World.current = self
        self.machine = Machine(choose)
        self.log: list[str] = []
        self._choose = choose
        self._broken: BrokenError | None = None
        self.promised: dict[str, dict[Position, bool]] = {}
        self._used: dict[str, float] = {}
        self._begun: dict[str, tuple[str, float]] = {}  # the file that a run wrote last, and when that began
        self._trained: dict[Process, Toy] = {}
        self._keeping: set[Process] = set()
        self._may_remove: dict[Process, set[str] | None] = {}  # None: what is no longer kept
        self._together: set[Process] = set()  # those that removed runs while another one did
        self._removes: dict[Process, set[str]] = {}
        self._finished: dict[Process, set[str]] = {}  # when it began to remove runs: damage may be found later
        self._latest: dict[Process, float] = {}  # the time before the clock went back, for those that were removing runs then
        self._dvc: dict[Process, str] = {}
        self._faulty = False  # processes may end with an error of the disk
        self._lock_files = {oracle.dvc_lock(0)}
        self._page = self._flips = 0
        self._went_back = False
        self._lay_out()
        self.machine.watch = self._watch

    def _lay_out(self) -> None:
        for folder in ("", "/models", "/.dvc", "/.dvc/tmp", "/.dvc/tmp/checkpoints", f"/.dvc/tmp/checkpoints/{_BYSTANDER}"):
            on(self.machine, f"/project{folder}").mkdir()
        files = {_MODEL: b"first", _HISTORY: b"[]", _NOTES: b"mine", _LOCK: oracle.dvc_lock(0), _DVC_YAML: oracle.DVC_YAML}
        files |= {f"{HOME}/{_BYSTANDER}/facts.json": b"{}", f"{HOME}/{_BYSTANDER}/theirs": b"theirs"}
        for path, content in files.items():
            on(self.machine, path).write_bytes(content)
        self._used[_BYSTANDER] = self.machine.clock
        self.machine.settle()

    def fail(self, why: str) -> None:
        """Notes that something does not hold: the program may catch what is raised."""
        self._broken = self._broken or BrokenError(why)
        raise self._broken

    # Actions.

    @property
    def live(self) -> list[Process]:
        """The processes that have not ended."""
        return self.machine.processes

    def train(self, toy: Toy) -> Process:
        """Starts a training."""
        process = self.machine.start(lambda: self._train(toy))
        self._trained[process] = toy
        return process

    def advance(self, process: Process, calls: int) -> None:
        """Lets a process run for a number of system calls."""
        self.machine.advance(process, calls)
        self._judge(process)

    def finish(self, process: Process) -> None:
        """Lets a process run to its end."""
        self.advance(process, 100_000)
        if not process.dead:
            self.fail("a process does not end")

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        process.kill()
        self.check()

    def terminate(self, process: Process) -> None:
        """SIGTERM. Where there is no work to save, it ends the process at once."""
        if process in self._keeping:
            process.signalled = True
        else:
            process.kill()

    def cut_power(self) -> None:
        """A power cut; the machine starts again, with a disk in order."""
        self.machine.cut_power()
        self.machine.room, self.machine.failing = None, 0
        self.check()

    def flip(self) -> None:
        """A bit of a checkpoint, or of the facts of a run, changes on the disk."""
        files = [
            (run, name, node)
            for run, folder in self._runs().items()
            for name, node in folder.entries.items()
            if type(node) is File and name[0] in "Ef" and node.data and node.data == node.durable
        ]
        if not files:
            return
        if self._choose(3) == 0:  # where JSON stays JSON
            files = [one for one in files if one[1][0] == "f"] or files
        run, name, node = files[self._choose(len(files))]
        self._flips += 1
        bit = self._choose(len(node.data) * 8)
        digits = [at for at, byte in enumerate(node.data) if chr(byte).isdigit()]
        if name[0] == "f" and digits and self._choose(2):
            bit = 8 * digits[self._choose(len(digits))] + self._choose(4)
        changed = bytearray(node.data)
        changed[bit // 8] ^= 1 << bit % 8
        node.data = node.durable = bytes(changed)
        if name[0] == "E" and _position(name) in self.promised.get(run, {}):
            self.promised[run][_position(name)] = False

    def fill(self, room: int | None) -> None:
        """The disk has room for so many bytes, or enough again."""
        self.machine.room = room
        self._faulty |= room is not None

    def fail_syncs(self, number: int) -> None:
        """The next syncs fail."""
        self.machine.failing = number
        self._faulty = True

    def move_clock(self, seconds: float) -> None:
        """The clock jumps."""
        if seconds < 0:
            for process in self._may_remove:
                self._latest[process] = max(self.machine.clock, self._latest.get(process, 0.0))
        self.machine.clock += seconds
        self._went_back |= seconds < 0

    def remove(self, toy: Toy) -> Process:
        """`train-resnet checkpoints --remove`."""

        def main() -> None:
            for run in runs.list_runs(on(self.machine, HOME)):
                if run.folder.name == toy.run:
                    runs.remove_run(run)

        process = self.machine.start(main)
        self._allow_removal(process, {toy.run})
        return process

    def tidy(self) -> Process:
        """The housekeeping at the end of any training."""
        process = self.machine.start(lambda: runs.prune(on(self.machine, HOME)))
        self._allow_removal(process, None)
        return process

    def commit(self) -> Process:
        """DVC writes its lock file in place, as it does after each stage."""
        text = oracle.dvc_lock(len(self._lock_files))
        self._lock_files.add(text)

        def main() -> None:
            with repair._dvc_lock(on(self.machine, "/project/.dvc/tmp/lock")):
                on(self.machine, _LOCK).write_bytes(text)

        process = self.machine.start(main)
        self._dvc[process] = "commit"
        return process

    def repair(self) -> Process:
        """`train-resnet repair`."""

        def main() -> None:
            for _ in repair._repair_lock_file(on(self.machine, "/project")):
                pass

        process = self.machine.start(main)
        self._dvc[process] = "repair"
        return process

    def end(self, toy: Toy) -> None:
        """Everything is well again: a training must give the outputs of one that nothing disturbed, and they must last."""
        for process in list(self.live):
            self.kill(process)
        self.fill(None)
        self.machine.failing = 0
        if self._dvc:
            self.finish(self.repair())
        self._faulty = False
        process = self.train(toy)
        self.finish(process)
        if process.error is not None:
            self.fail(f"training ends with {process.error!r}")
        for _ in range(2):
            if self._content(_MODEL) != oracle.model(toy) or self._content(_HISTORY) != oracle.history(toy.number, toy.epochs):
                self.fail("the outputs are not those of an undisturbed training")
            self.cut_power()

    # The training.

    def _train(self, toy: Toy) -> None:
        assert self.machine.running is not None
        process = self.machine.running.process
        with runs.begun(on(self.machine, HOME), toy.facts) as run:
            variable = Variable()
            state = TrainingState(model=[variable])
            self._resume(toy, state, variable, run)
            self._write(_HISTORY, oracle.encoded(state.history))
            if any(self._trained[one] == toy for one in self._keeping if not one.dead):
                self.fail("two processes train the same run")
            with resume.keeping(run, state, 0, lambda: signal.SIGTERM if process.signalled else None) as keep:
                self._keeping.add(process)
                while state.epoch <= toy.epochs:
                    if _go_on(toy, state, variable):
                        self._write(_HISTORY, oracle.encoded(state.history))
                    keep()
                self._write(_MODEL, state.best[0].tobytes())
                if toy == oracle.TOYS[0]:  # as with stages of DVC, one process at a time writes a folder
                    self._write_pages()
            self._keeping.discard(process)
        self._allow_removal(process, None)
        runs.prune(on(self.machine, HOME), run.folder)

    def operate(self, toy: Toy, operation: str) -> Process:
        """A training that only resumes, or saves one more state, publishes, or removes old runs."""

        def main() -> None:
            with runs.begun(on(self.machine, HOME), toy.facts) as run:
                variable = Variable()
                state = TrainingState(model=[variable])
                self._resume(toy, state, variable, run)
                if operation == "save":
                    _go_on(toy, state, variable)
                    checkpoint_files.write_checkpoint(run.folder, state.snapshot())
                elif operation == "publish":
                    self._write(_MODEL, oracle.model(toy))
                    self._write_pages()
                elif operation == "prune":
                    self._allow_removal(process, None)
                    runs.prune(on(self.machine, HOME), run.folder)

        process = self.machine.start(main)
        self._trained[process] = toy
        return process

    def _write(self, path: str, content: bytes) -> None:
        with replacing(on(self.machine, path)) as partial:
            partial.write_bytes(content)

    def _write_pages(self) -> None:
        self._page += 1
        page = str(self._page)
        with replacing(on(self.machine, _PAGES)) as partial:
            partial.mkdir()
            for name in ("one", "two"):
                (partial / name).write_text(page)

    def _resume(self, toy: Toy, state: TrainingState, variable: Variable, run: runs.Run) -> None:
        flips, started = self._flips, (len(self.live), self.machine.started)
        complete = [self._complete(source.run) for source in toy.sources]
        resume.resume(state, run, toy)  # type: ignore[arg-type] # it is frozen
        # What it may start from does not change meanwhile, unless a bit flips, or another process works on a shorter run.
        alone = started == (1, self.machine.started) and flips == self._flips
        promised = [[at for at, whole in self.promised.get(one.run, {}).items() if whole] for one in toy.sources]
        at = (state.epoch, state.step)
        weights, best = expected(toy.number, at)
        if variable.array.tobytes() != weights or b"".join(one.tobytes() for one in state.best) != best:
            self.fail(f"it resumes at {at} with other weights")
        if oracle.encoded(state.history) != oracle.history(toy.number, state.epoch - 1):
            self.fail(f"it resumes at {at} with another history")
        newest = next((max(one) for one in (complete if alone else complete[:1]) if one), at)
        if at != newest and flips == self._flips:
            self.fail(f"it resumes at {at}, but the newest complete state is at {newest}")
        if complete[0] or not alone:  # then its own state counts, even if a shorter run got further
            del promised[1:]
        durable = next((max(one) for one in promised if one), (1, 0))
        if at < durable:
            self.fail(f"it resumes at {at}, but {durable} was announced as durable")
        if toy.run in self.promised:
            self.promised[toy.run] = {one: True for one, whole in self.promised[toy.run].items() if whole}

    def saved(self, run: str, at: Position) -> None:
        """The program announces a checkpoint as durable."""
        known = self.promised.setdefault(run, {})
        known[at] = at in self._complete(run)
        if not known[at] and not self._flips:
            self.fail(f"a checkpoint is announced at {at}, and is not there")
        for old in sorted(known)[:-KEPT]:
            del known[old]

    # What must hold.

    def _runs(self) -> dict[str, Folder]:
        home = self.machine.find(HOME)
        listed = home.entries.items() if type(home) is Folder else ()
        return {name: node for name, node in listed if type(node) is Folder and name != _BYSTANDER}

    def _complete(self, run: str) -> list[Position]:
        folder = self._runs().get(run)
        if folder is None:
            return []
        return [
            _position(name)
            for name, node in folder.entries.items()
            if type(node) is File and name[0] == "E" and hashlib.sha256(node.data).hexdigest() in name
        ]

    def _content(self, path: str) -> bytes | None:
        node = self.machine.find(path)
        return node.data if type(node) is File else None

    def _watch(self, process: Process, path: str) -> None:
        """Checks that a process may change a path."""
        run, name = _place(path)
        trained = self._trained.get(process)
        if not run:
            allowed = _DVC if process in self._dvc else _OUTPUTS if trained else ()
            if not path.startswith(allowed):
                self.fail(f"{path} is changed by a process that has no business there")
            return
        if not name or name == "lock":  # a start that ends before it has changed anything else is no use of the run
            return
        if trained is not None and trained.run == run:
            self._note_use(run, name)
        folder = self.machine.folders.get(f"{HOME}/{run}")
        lock = folder.entries.get("lock") if folder else self.machine.find(f"{HOME}/{run}/lock")
        if type(lock) is not File or lock.holder is not process:
            self.fail(f"{path} is changed by a process that has not locked the run")
        if process in self._may_remove:
            self._check_removal(process, run)

    def _note_use(self, run: str, name: str) -> None:
        """Notes a change in a run's folder as its last use, and since when its newest file can have its time.

        A file that is written and then renamed has the time of the writing; the removal of an older one changes no time.
        """
        if name[0] != ".":  # a start removes leftovers first
            self._used[run] = self.machine.clock
        written, _ = self._begun.get(run, ("", 0.0))
        begins = name != written if name[0] == "." else name == "facts.json" and not written.endswith(f"-{name}")
        if begins:
            self._begun[run] = name, self.machine.clock

    def _check_removal(self, process: Process, run: str) -> None:
        known = self._removes.setdefault(process, set())
        if run in known:
            return
        known.add(run)
        asked = self._may_remove.get(process, set())
        if asked is None:
            # If the clock went back, or if two processes do this at once, the runs may seem to be in another order.
            clear = not self._went_back and process not in self._together
            used = self._used.get(run, 0.0)
            finished = self._finished[process] | self._finished_runs()
            own = self._trained[process].run if process in self._trained else ""  # stays, so it counts as the last used one
            since = min(used, self._begun[run][1]) if run in self._begun else used
            later = [one for one in finished if one != run and (one == own or self._used[one] > since)]
            may = len(later) >= KEPT_FINISHED if clear else run in finished
            may |= max(self.machine.clock, self._latest.get(process, 0.0)) - used > 14 * _DAY
            may &= process not in self._trained or self._trained[process].run != run
        else:
            may = run in asked
        if not may and (self.promised.get(run) or run == _BYSTANDER):
            self.fail(f"the run {run} is removed, although it should be kept")
        self.promised.pop(run, None)

    def _allow_removal(self, process: Process, runs: set[str] | None) -> None:
        together = [one for one in self.live if one in self._may_remove]
        self._may_remove[process] = runs
        self._finished[process] = self._finished_runs()
        if together:
            self._together |= {process, *together}

    def _finished_runs(self) -> set[str]:
        folders = self._runs()
        return {toy.run for toy in oracle.TOYS if toy.run in folders and _last_epoch(folders[toy.run]) > toy.epochs}

    def _judge(self, process: Process) -> None:
        if self._broken:
            raise self._broken
        self.check()
        if not process.dead:
            return
        error = process.error
        expected_fault = isinstance(error, OSError) and self._faulty and error.errno in (errno.EIO, errno.ENOSPC)
        if error is not None and not isinstance(error, (UserError, EndedError)) and not expected_fault:
            self._broken = BrokenError(f"a process ends with {error!r}")
            raise self._broken from error
        busy = any(one in self._dvc for one in self.live)
        if self._dvc.get(process) == "repair" and error is None and not busy:
            # Without its last stage, which DVC runs again, it is whole too.
            whole = self._lock_files | {text[: text.index(b"  b:")] for text in self._lock_files}
            if self._content(_LOCK) not in whole:
                self.fail(f"DVC's lock file is {self._content(_LOCK)!r} after its repair")

    def check(self) -> None:
        """What a reader sees at any moment is whole."""
        if self._broken:
            raise self._broken
        if self._content(_MODEL) not in oracle.MODELS:
            self.fail(f"the model is {self._content(_MODEL)!r}")
        if self._content(_HISTORY) not in oracle.HISTORIES:
            self.fail(f"the history is {self._content(_HISTORY)!r}")
        if self._content(_NOTES) != b"mine":
            self.fail("a file of the user is changed")
        pages = self.machine.find(_PAGES)
        if type(pages) is Folder:
            found = [node.data for node in pages.entries.values() if type(node) is File]
            if len(found) != 2 or found[0] != found[1] or not found[0]:
                self.fail(f"a folder of outputs has the files {found}")


def _go_on(toy: Toy, state: TrainingState, variable: Variable) -> bool:
    """Does a step, or ends the epoch; returns whether it ended."""
    if state.step < STEPS:
        variable.array = oracle.next_weights(variable.array, state.epoch, toy.number)
        state.step += 1
        return False
    state.finish_epoch(oracle.result(state.epoch, toy.number), variable)
    return True


@lru_cache(10_000)
def _place(path: str) -> tuple[str, str]:
    """The run whose folder a path is in, or none, and the path below that folder."""
    run, _, name = path[len(HOME) + 1 :].partition("/") if path.startswith(f"{HOME}/") else ("", "", "")
    return run, name


def _last_epoch(folder: Folder) -> int:
    return max((_position(name)[0] for name in folder.entries if name[0] == "E"), default=0)


@lru_cache(10_000)
def _position(name: str) -> Position:
    return int(name[1:6]), int(name[8:15])
