"""Shows the progress and the curves of training in Prefect's UI. It reads the record that the stage writes while it runs.

`tasks/training/events.py` describes the record.
"""

import contextvars
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger

from flows.curve import Curve
from tasks.training.events import VARIABLE
from tasks.training.points import is_sound

# An update of both artifacts took 8 ms of processor time here and 24 ms in the server: 0.3 % of two cores at this interval.
_POLL_SECONDS = 5.0
_CURVE_SECONDS = 10.0  # within an epoch; the end of an epoch is drawn at once


class EventTail:
    """Reads a record of events while it grows.

    Args:
        path: of the file, which may not exist yet. If it is replaced or becomes shorter, it is read from its start again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def read_new(self) -> Iterator[dict[str, Any]]:
        """The events since the last call. An incomplete last line is left for the next call."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                complete = file.read().rpartition(b"\n")[0]
        except OSError:  # the stage has not started, or its folder is gone
            return
        if complete:
            self._offset += len(complete) + 1
        for line in complete.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):  # a full disk cut it off
                continue
            if isinstance(event, dict):
                yield event


class Position:
    """Where training is, by the events so far.

    Attributes:
        percent: completed share of training in percent.
        words: the position and its figures, for people; empty before the first step.
    """

    def __init__(self) -> None:
        self.percent = 0.0
        self.words = ""
        self._epochs = 0

    def see(self, event: dict[str, Any]) -> None:
        """Takes an event into account; ignores one of an unknown kind or form."""
        try:
            if event["event"] == "start":
                self._epochs = event["epochs"]
            elif event["event"] == "step":
                done = event["epoch"] - 1 + event["step"] / event["steps"]
                self._move(done, f"epoch {event['epoch']} of {self._epochs}, step {event['step']} of {event['steps']}", event)
            elif event["event"] == "epoch":
                self._move(event["epoch"], f"epoch {event['epoch']} of {self._epochs}", event)
            elif event["event"] == "end" and event["outcome"] == "finished":
                self.percent = 100.0
        except (LookupError, TypeError, ArithmeticError):
            return

    def _move(self, done: float, position: str, event: dict[str, Any]) -> None:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        figures = ", ".join(f"{name} {event[name]:.4f}" for name in names if name in event)
        self.percent, self.words = 100 * done / self._epochs, f"{position}: {figures}"


class CurvePage:
    """The page with the curves: an artifact that is replaced in place, at each epoch and every ten seconds between.

    Args:
        key: of the artifact.
        clock: seconds, for the interval.
    """

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.curve = Curve()
        self._key = key
        self._clock = clock
        self._artifact: Any = None
        self._shown: tuple[int, str] = (0, "")
        self._next = 0.0

    def show(self, words: str, last: bool) -> None:
        """Sends the page if it is time for it.

        Args:
            words: the position.
            last: sends it in any case, unless it is as it was.
        """
        now, state = self._clock(), (self.curve.finished, words)
        if state == self._shown or not (last or now >= self._next or state[0] != self._shown[0]):
            return
        page = self.curve.page(words)
        if not page:
            return
        self._shown, self._next = state, now + _CURVE_SECONDS
        if self._artifact is None:
            self._artifact = create_markdown_artifact(page, key=self._key, description=words)
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._artifact, ArtifactUpdate(data=page, description=words))


class TrainingProgress:
    """Updates two artifacts in a background thread in the block, and once more at its end: a progress bar and the curves.

    Args:
        path: where the stage writes its record; a file of an earlier run is removed.
        stage: its name; the keys of the artifacts begin with it.
    """

    def __init__(self, path: Path, stage: str) -> None:
        path.unlink(missing_ok=True)
        self.environment = {VARIABLE: str(path.absolute())}
        self._tail = EventTail(path)
        self._position = Position()
        self._key = f"{stage}-progress"
        self._page = CurvePage(f"{stage}-curves")
        self._shown = ""
        self._artifact: Any = None
        self._ended = threading.Event()
        # The context says which task run the artifact belongs to.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._follow,), name=self._key, daemon=True)

    def __enter__(self) -> Self:
        if TaskRunContext.get() is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        # A run that is being ended does not wait for the server.
        if self._thread.is_alive() and (kind is None or issubclass(kind, Exception)):
            self._thread.join()

    def _follow(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(_POLL_SECONDS)
            for event in filter(is_sound, self._tail.read_new()):
                self._position.see(event)
                self._page.curve.see(event)
            try:
                self._show(self._position.percent, self._position.words)
                self._page.show(self._position.words, ended)
            except Exception as error:  # a server that cannot be reached must not end training
                get_run_logger().warning("The progress could not be shown: %s", error)

    def _show(self, percent: float, words: str) -> None:
        if not words or (shown := f"{percent} {words}") == self._shown:
            return
        self._shown = shown
        if self._artifact is None:
            self._artifact = create_progress_artifact(progress=percent, key=self._key, description=words)
        else:
            update_progress_artifact(self._artifact, progress=percent, description=words)
