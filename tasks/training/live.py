"""Shows a run while it goes on: a page that a browser loads again by itself, and an event file for TensorBoard.

Both are in the folder of the run (`tasks/training/seen.py`), with the record from which they are made: events as in
`tasks/training/events.py`. Points are recorded before the checkpoint of their step, and a resumed run forgets those after the
step that it resumes from. So after any interruption each point is there once. What cannot be written, as on a full disk, is
tried again every minute with all points; until then the record of the process before stays as it is.

The points are about 50 in an epoch, always at the same steps, and one more whenever ten seconds passed without any.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from tasks.training.changes import changed, name_of, present
from tasks.training.events import Events, outcome_of
from tasks.training.page import EXPECTED_SECONDS, render_page
from tasks.training.points import Event, Points, read_points
from tasks.training.progress import say
from tasks.training.runs import home
from tasks.training.seen import PAGE, RECORD, folders, hide_from_git, make_folder
from tasks.training.vscode import announce_epoch, withdraw

if TYPE_CHECKING:
    from resnet.training.state import Epoch, Progress, TrainingState
    from tasks.training.event_file import EventFile

_POINTS = 50  # of steps in an epoch
_EPOCH_SECONDS = 2.0  # between two versions of the page, at the ends of short epochs
_SHARE = 200  # the page is written after so many times as long as it took, also on a slow disk: at most 0.5 % of the time
_RETRY_SECONDS = 60.0  # after something could not be written


class Live:
    """What is seen of one process that trains; a context that ends with the last version of the page.

    Nothing here ends training: what cannot be written is reported in one line, once.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points = Points()
        self._place: Callable[[], Path] | None = None  # makes the folder
        self._folder: Path | None = None
        self._hidden = False  # from Git
        self._record: Events | None = None
        self._board: EventFile | None = None
        self._fill: Callable[[EventFile], None] = lambda board: None
        self._last_point = self._last_page = self._retry = clock()
        self._page_seconds = (0.0, 0.0)  # of the last two versions
        self._reported = set[str]()
        self._seconds = 0.0
        self._pages = 0

    def __enter__(self) -> Self:
        return self

    def start(
        self,
        runs: Sequence[str],
        state: "TrainingState",
        images: Callable[[], npt.NDArray[np.uint8]],
        outputs: Iterable[Path],
        **facts: Any,
    ) -> list[Event]:
        """Shows where training starts, with the points of a resumed run.

        Args:
            runs: IDs of the run and of the shorter ones that it continues; the points are those of the first that has any.
            state: of the run.
            images: makes some augmented training images (n, height, width, 3).
            outputs: of the stage.
            facts: further fields of the event `start`.

        Returns:
            The events `step` and `epoch` before the start.
        """
        began = time.perf_counter()
        self._points = _earlier(runs, state)
        earlier = list(self._points)
        parameters = present()
        changes = changed(parameters)
        name = name_of(os.environ.get("DVC_EXP_NAME", ""), changes)

        def fill(board: "EventFile") -> None:
            board.parameters(name, parameters)
            if not facts.get("ended"):
                board.images("training/augmented_images", state.epoch, images())
            for event in self._points:
                board.point(event, facts["steps"])

        self._fill = fill
        self._place = lambda: make_folder(runs[0], name)
        about = _about(parameters, changes, outputs, runs[0])
        start = {"epoch": state.epoch, "step": state.step, "name": name, "about": about} | facts
        self._points.see({"event": "start", "time": round(time.time(), 3)} | start)
        self._open()
        self._paint()
        self._seconds += time.perf_counter() - began
        return earlier

    def _open(self) -> None:
        """Makes what is not there yet, or lacks an event: the folder, the record, and the event file."""
        self._retry = self._clock() + _RETRY_SECONDS
        if self._folder is None:
            self._attempt("the folder", self._make_folder)
        folder = self._folder
        if folder is None:
            return
        self._hidden = self._hidden or self._attempt("the .gitignore", hide_from_git)
        if self._record is None or self._record.error:
            self._attempt("the record", lambda: self._start_record(folder))
        if self._board is None:
            self._open_board(folder)

    def _complete(self) -> bool:
        return self._hidden and self._board is not None and self._record is not None and self._record.error is None

    def _make_folder(self) -> None:
        assert self._place is not None
        self._folder = self._place()
        say(f"train: {(self._folder / PAGE).resolve().as_uri()} shows this run while it goes on")

    def _start_record(self, folder: Path) -> None:
        """Replaces the record in one step, if the new one has all points: neither a kill nor a full disk loses one.

        Raises:
            OSError: it could not be written.
        """
        partial = folder / f".partial-{RECORD}"
        record = Events(partial)
        record.start(self._points, **{name: value for name, value in self._points.start.items() if name != "event"})
        try:
            if record.error:
                raise record.error
            partial.replace(folder / RECORD)
        except OSError:
            record.close()
            with suppress(OSError):
                partial.unlink()
            raise
        if self._record is not None:
            self._record.close()
        self._record = record

    def step(self, progress: "Progress") -> None:
        """Takes a step into account, and shows it if a point is due."""
        began = time.perf_counter()
        now = self._clock()
        stride = -(-progress.steps // _POINTS)
        if progress.step % stride == 0 or progress.step == progress.steps or now >= self._last_point + EXPECTED_SECONDS:
            self._add({"event": "step", "time": round(time.time(), 3)} | asdict(progress))
            self._last_point = now
        self.wait()
        self._seconds += time.perf_counter() - began

    def epoch(self, epoch: "Epoch", confusion: npt.NDArray[np.int64] | None) -> None:
        """Shows the results of an epoch.

        Args:
            epoch: the results.
            confusion: (classes, classes) validation images by true and predicted class, or None.
        """
        began = time.perf_counter()
        counts = None if confusion is None else confusion.tolist()
        self._add({"event": "epoch", "time": round(time.time(), 3)} | asdict(epoch) | {"confusion": counts})
        self._attempt("DVC's signal", lambda: announce_epoch(epoch.epoch))
        self._paint_after(_EPOCH_SECONDS)
        self._seconds += time.perf_counter() - began

    def wait(self) -> None:
        """Is called now and then while there is no new point, as during validation."""
        self._paint_after(EXPECTED_SECONDS)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._place is not None and not self._complete():
            self._open()
        self.stop(error)
        self._use_board(lambda board: board.close(finished=error is None))
        with suppress(OSError):
            withdraw()

    def stop(self, error: BaseException | None) -> None:
        """Shows the end in the record and on the page.

        It is called by itself if a signal ends the process without leaving the context, as during the compilation of the first
        step. The event file is left alone then: TensorFlow may be writing it.
        """
        outcome = outcome_of(error)
        message = "" if error is None else str(error)
        self._points.see({"event": "end", "time": time.time(), "outcome": outcome, "message": message})
        if self._record is not None:
            self._record.__exit__(None if error is None else type(error), error, None)
        self._paint()

    def cost(self) -> dict[str, float]:
        """The time that it took from training, in seconds, and how often the page was written."""
        return {"seconds": round(self._seconds, 3), "pages": self._pages}

    def _add(self, event: Event) -> None:
        self._points.see(event)
        if self._record is not None:
            self._record.add(event)
        self._use_board(lambda board: board.point(event, self._points.start["steps"]))
        if not self._complete() and self._clock() >= self._retry:
            self._open()  # with this point

    def _open_board(self, folder: Path) -> None:
        from tasks.training.event_file import EventFile  # imports TensorFlow, which is there by now

        def make() -> None:
            self._board = EventFile(folder)

        self._attempt("the event file for TensorBoard", make)
        self._use_board(self._fill)

    def _use_board(self, work: Callable[["EventFile"], None]) -> None:
        """Does something with the event file. After an error its end may be damaged: another file follows a minute later."""
        board = self._board
        if board is not None and not self._attempt("the event file for TensorBoard", lambda: work(board)):
            self._board = None
            self._retry = self._clock() + _RETRY_SECONDS

    def _paint_after(self, seconds: float) -> None:
        if self._clock() >= self._last_page + max(seconds, _SHARE * min(self._page_seconds)):
            self._paint()

    def _paint(self) -> None:
        if self._folder is None:
            return
        self._last_page = self._clock()
        began = time.perf_counter()
        folder = self._folder
        self._attempt("the page", lambda: write_page(folder, self._points, running=not self._points.end))
        self._page_seconds = (self._page_seconds[1], time.perf_counter() - began)
        self._pages += 1

    def _attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Does something that may fail; reports the first failure of its kind. Returns whether it succeeded."""
        try:
            work()
        except Exception as error:  # from the system, TensorFlow, or a bug: none of them is a reason to stop training
            if what not in self._reported:
                self._reported.add(what)
                why = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
                say(f"train: {what} of this run cannot be written ({why}); training goes on without it")
            return False
        return True


def write_page(folder: Path, points: Points, *, running: bool, outcome: str = "") -> None:
    """Writes the page of a run; see `render_page` for the arguments.

    Raises:
        OSError: it cannot be written.
    """
    partial = folder / f".partial-{PAGE}"
    try:
        partial.write_text(render_page(points, time.time(), running=running, outcome=outcome), encoding="utf-8")
        # Not synced to the disk, unlike outputs: a power cut costs nothing but this version, and syncing may take a second.
        partial.replace(folder / PAGE)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def _earlier(runs: Iterable[str], state: "TrainingState") -> Points:
    """The points of a run up to its state: those in the records, and the epochs in its history that no record has."""
    points = Points()
    for folder in (folder for run in runs for folder in folders(run)):
        points = read_points(folder / RECORD)
        points.forget_after(state.epoch, state.step)
        if list(points):
            break
    recorded = {event["epoch"] for event in points.epochs}
    for epoch in state.history:
        if epoch.epoch not in recorded:
            points.see({"event": "epoch", "time": time.time()} | asdict(epoch))
    return points


def _about(parameters: Mapping[str, Any], changes: Mapping[str, Any], outputs: Iterable[Path], run: str) -> dict[str, str]:
    """What the page says about a run beside its curves. The seed is named even if it is that of the commit."""
    listed = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in changes.items())
    return {
        "seed": str(parameters.get("seed", "?")),
        "parameters that differ from the commit": listed or "none",
        "folder": str(Path.cwd()),
        "writes": ", ".join(map(str, outputs)),
        "checkpoints": str((home() / run).absolute()),
    }
