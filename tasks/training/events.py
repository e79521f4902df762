"""A record of a training run for programs that show its progress: JSON Lines, one object for each event, flushed at once.

The environment variable `TRAIN_RESNET_EVENTS` names the file; `tasks/training/live.py` keeps another one for each run. Each
start of training replaces the content, so a file always describes one process; the epochs that a resumed run has already
finished, and points of the steps before, are recorded again after `start`. A process that is killed writes no `end`, and its
last line may be incomplete. `tasks/training/points.py` reads such files.

Every object has

- `event`: its kind, see below;
- `time`: seconds since 1970.

`start`: training starts, or resumes.

- `format`: 1; another number would mean other fields;
- `process`: the process ID;
- `run`: the ID of the run, as `train-resnet checkpoints` lists it;
- `epochs`: train.epochs; early stopping or a budget can end training sooner;
- `steps`: steps in an epoch;
- `epoch`, `step`: where training starts: the epoch, from 1, and the steps already done in it;
- `ended`: whether training had ended before, so that only its results are written; `epoch` is then one after the last one;
- `precision`: in which the network computes;
- `devices`: names of the GPUs, or ["CPU"].

`step`: the state after a step, at most one every 2 seconds; of the steps before `start` other ones.

- `epoch`, `step`, `steps`: the position, epoch and step from 1;
- `loss`, `accuracy`: means of the epoch so far (nats; in [0, 1]);
- `learning_rate`: of this step;
- `images_per_second`: mean of the epoch so far.

`epoch`: the results of an epoch, with the columns of `reports/history.csv` and three more; a run's own record has a fourth one.

- `epoch`: from 1;
- `loss`, `accuracy`: means over the epoch (nats; in [0, 1]);
- `val_loss`, `val_accuracy`: of the validation split after the epoch;
- `learning_rate`: of the last step;
- `seconds`: of training and validation together;
- `images_per_second`: of training alone;
- `size`: height and width of the training images in pixels;
- `confusion`: validation images by true class (row) and predicted class (column); null for many classes.

`end`: training ended in a controlled way.

- `outcome`: "finished"; "paused" as `TRAIN_RESNET_STOP_AFTER` asked; "interrupted" by a signal; or "failed";
- `epochs`: number of finished epochs;
- `message`: one sentence on a pause, an interruption or a failure, otherwise empty.

Readers should ignore lines that are not JSON objects, and unknown kinds and fields.
"""

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tasks.stage.signals import EndedError
from tasks.training.pause import PausedError

if TYPE_CHECKING:
    from resnet.training.state import Epoch, Progress

VARIABLE = "TRAIN_RESNET_EVENTS"

_FORMAT = 1
_STEP_SECONDS = 2.0


def outcome_of(error: BaseException | None) -> str:
    """The `outcome` of the event `end`, by what ended training."""
    if error is None:
        return "finished"
    if isinstance(error, PausedError):
        return "paused"
    return "interrupted" if isinstance(error, EndedError) else "failed"


class Events:
    """Writes the record; a context that ends with the event `end`. A file that cannot be written never ends training.

    Args:
        path: of the file; None records nothing.
        clock: seconds for the interval between `step` events.

    Attributes:
        error: why the file lacks an event; None if it has all of them.
    """

    def __init__(self, path: Path | None, clock: Any = time.monotonic) -> None:
        self._clock = clock
        self._next_step = 0.0
        self._finished = 0
        self._incomplete = False
        self.error: OSError | None = None
        self._file = self._open(path) if path is not None else None

    @classmethod
    def from_environment(cls) -> Self:
        """Writes to the file that the environment names."""
        name = os.environ.get(VARIABLE)
        return cls(Path(name) if name else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._write("end", outcome=outcome_of(error), epochs=self._finished, message="" if error is None else str(error))
        self.close()

    def close(self) -> None:
        """Closes the file without the event `end`; records nothing from then on."""
        if self._file is not None:
            with suppress(OSError):  # a network file system may report a full disk here
                os.close(self._file)
            self._file = None

    def start(self, earlier: Iterable[Mapping[str, Any]] = (), **facts: Any) -> None:
        """Records the start, and the points of a resumed run again.

        Args:
            earlier: events `step` and `epoch`, which keep their times.
            facts: the fields of the event but `format` and `process`.
        """
        self._write("start", format=_FORMAT, process=os.getpid(), **facts)
        for event in earlier:
            self.add(event)

    def step(self, progress: "Progress") -> None:
        """Records a step, unless the last recorded one is too recent."""
        if self._file is None:
            return
        now = self._clock()
        if now >= self._next_step:
            self._next_step = now + _STEP_SECONDS
            self._write("step", **asdict(progress))

    def epoch(self, epoch: "Epoch") -> None:
        """Records the results of an epoch."""
        self._finished = epoch.epoch
        self._write("epoch", **asdict(epoch))

    def add(self, event: Mapping[str, Any]) -> None:
        """Records an event `step` or `epoch` with its own time."""
        if event["event"] == "epoch":
            self._finished = event["epoch"]
        self._write(**event)

    def _write(self, event: str, **fields: Any) -> None:
        if self._file is None:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3)} | fields).encode() + b"\n"
        if self._incomplete:  # a full disk cut the last line off: keep this one apart from it
            line = b"\n" + line
        written = 0
        try:
            written = os.write(self._file, line)
            if written < len(line):  # the disk became full within the line
                self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.error = error
        self._incomplete = written < len(line) and (self._incomplete or written > 0)

    def _open(self, path: Path) -> int | None:
        """A descriptor without a buffer, or None if the file cannot be opened."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # O_NONBLOCK: a named pipe without a reader is an error instead of an endless wait.
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self.error = error
            return None
