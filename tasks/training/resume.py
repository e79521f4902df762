"""Saves and resumes a training run: which checkpoint it starts from, and when it writes one.

`train.restarts` divides a run into phases. A longer run has the same first phases as a shorter one: a run of 20 epochs with
restarts [10] is, up to its tenth epoch, the run of 10 epochs, and starts from the last checkpoint of that run if there is one.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resnet.core.errors import UserError
from tasks.stage.params import Section
from tasks.stage.signals import EndedError
from tasks.training.fingerprint import Facts, contents, fingerprint, surroundings
from tasks.training.moving import Shared
from tasks.training.pause import Pause
from tasks.training.progress import say
from tasks.training.runs import Run, home

if TYPE_CHECKING:
    from resnet.training.state import TrainingState

SECONDS_VARIABLE = "TRAIN_RESNET_CHECKPOINT_SECONDS"
# Work of at most this time is lost, and only to SIGKILL or a power cut; the first intervals are shorter. A checkpoint of
# ResNet-50 with Adam (377 MB) delays training by 1.5 s (224 pixels, batch 32, two cores), 0.8 % of the time.
_SECONDS = 180.0

TRAINED = " after the last epoch; run the same command to write its results"  # the rest of the sentence on a signal


class Phased(Protocol):
    """The parameters that define the phases of a run."""

    epochs: int
    restarts: list[int]


def decisive(params: Section, seed: int, inputs: Iterable[Path], code: Iterable[Path]) -> Facts:
    """The facts that decide the weights, except those that only TensorFlow knows: devices and the chosen precision."""
    chosen = {f"train.{name}": value for name, value in params.model_dump().items() if name != "precision"}
    return {**chosen, "seed": seed, **surroundings(), **contents(inputs, code, home() / "hashes.json")}


def checkpoint_seconds() -> float:
    """The time between two checkpoints.

    Raises:
        UserError: the environment variable that sets it is not a valid number of seconds.
    """
    given = os.environ.get(SECONDS_VARIABLE)
    try:
        seconds = _SECONDS if given is None else float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(
            f"{SECONDS_VARIABLE} must be a number of seconds, 0 or more, but it is {given!r}: set it to one or unset it."
        )
    return seconds


def sources(run: Run, params: Phased) -> Iterator[Run]:
    """The run itself, then the shorter runs that it continues, the longest of them first."""
    yield run
    for number in reversed(range(len(params.restarts))):
        facts = {**run.facts, "train.epochs": params.restarts[number], "train.restarts": params.restarts[:number]}
        yield Run(run.folder.with_name(fingerprint(facts)), facts)


def resume(
    state: "TrainingState",
    run: Run,
    params: Phased,
    in_store: Shared | None = None,
    *,
    last_epoch: Callable[[int], int] = lambda epochs: epochs,
) -> str | None:
    """Restores the newest checkpoint, of this host or of the store.

    Args:
        state: of the run.
        run: reserved for this process.
        params: of the run.
        in_store: the run in a store that hosts share.
        last_epoch: after which the restored state ends, if that may be before the given number of epochs; see `Trainer`.

    Returns:
        Where training goes on, as the predicate of a sentence; None if there is no checkpoint.
    """
    from resnet.training.checkpoint_files import read_newest

    if in_store:
        in_store.fetch(sources(run, params), state.most_bytes(params.epochs))
    for source in sources(run, params):
        snapshot = read_newest(source.folder, lambda line: say(f"train: {line}"), remove=source.folder == run.folder)
        if snapshot is not None:
            state.restore(snapshot)
            ended = state.epoch > last_epoch(params.epochs)
            goes_on = _after_the_end(state, params) if ended else f"resumes from {_place(state)}"
            say(f"train: {goes_on} (checkpoint of run {source.folder.name})")
            return goes_on
    return None


def _after_the_end(state: "TrainingState", params: Phased) -> str:
    return f"had ended after epoch {state.epoch - 1} of {params.epochs}; only its results are written"


@contextmanager
def keeping(
    run: Run,
    state: "TrainingState",
    seconds: float,
    received: Callable[[], signal.Signals | None],
    *,
    pause: Pause | None = None,
    in_store: Shared | None = None,
) -> Iterator["Keeper"]:
    """Writes the checkpoints of a run in the block.

    Args:
        run: whose checkpoints they are.
        state: of the run.
        seconds: between two checkpoints.
        received: returns the received signal, or None.
        pause: where the run pauses; None for nowhere.
        in_store: the run in a store that hosts share, which gets copies of the checkpoints.
    """
    from resnet.training.checkpoint_files import CheckpointWriter

    with CheckpointWriter(run.folder, state, seconds, *([in_store.copy] if in_store else [])) as writer:
        yield Keeper(run, state, writer, received, pause=pause or Pause(None, run.facts["train.epochs"]), in_store=in_store)
    if in_store:
        in_store.finish()


class Writer(Protocol):
    """What a `Keeper` asks for: see `CheckpointWriter`."""

    written: int
    held_up: float
    processor_seconds: float

    def tick(self) -> None:
        """Starts a checkpoint if the interval has passed."""

    def begin(self) -> None:
        """Starts a checkpoint."""

    def write(self) -> bool:
        """Writes a checkpoint and waits until it is on the disk. Returns whether it was written."""


class Elsewhere:
    """A `Writer` for a host whose checkpoints another one writes."""

    written, held_up, processor_seconds = 0, 0.0, 0.0

    def tick(self) -> None:
        """Does nothing."""

    begin = tick

    def write(self) -> bool:
        """Does nothing; the chief writes at the same step."""
        return True


class Keeper:
    """Is called whenever the state is consistent; writes checkpoints at intervals, on a signal, and at the end of the run."""

    def __init__(
        self,
        run: Run,
        state: "TrainingState",
        writer: Writer,
        received: Callable[[], signal.Signals | None],
        *,
        pause: Pause,
        in_store: Shared | None = None,
    ) -> None:
        self._pause = pause
        self._in_store = in_store
        self._run = run
        self._state = state
        self._writer = writer
        self._received = received

    def __call__(self) -> None:
        """Writes a checkpoint if one is due.

        Raises:
            EndedError: after a checkpoint, if a signal was received.
            PausedError: the run is at its pause.
            UserError: a checkpoint could not be written, or another host has taken the run over.
        """
        if self._in_store is not None:
            self._in_store.check()
        number = self._received()
        if number is not None:
            kept = self._writer.write()
            trained = self._state.epoch > self._run.facts["train.epochs"]
            goes_on = TRAINED if trained else f" at {_place(self._state)}; run the same command to resume from there"
            raise EndedError(number, goes_on if kept else "")
        self._pause.check(self._state.epoch - 1)
        if self._state.epoch > self._run.facts["train.epochs"]:
            self._writer.begin()
        else:
            self._writer.tick()

    def secure(self) -> None:
        """Is called at the end of an epoch, before it is reported; a run that may pause then has it on the disk.

        Raises:
            UserError: the checkpoint could not be written.
        """
        if self._pause.after is not None and self._state.epoch <= self._run.facts["train.epochs"]:
            self._writer.write()

    def cost(self) -> dict[str, float]:
        """The time that the checkpoints took."""
        return {
            "written": self._writer.written,
            "held_up_seconds": round(self._writer.held_up, 2),
            "processor_seconds": round(self._writer.processor_seconds, 2),
            **(self._in_store.cost() if self._in_store else {}),
        }


def _place(state: "TrainingState") -> str:
    return f"epoch {state.epoch}, step {state.step}"
