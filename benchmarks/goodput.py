"""Goodput: the share of the time that becomes trained steps, if training is killed every few seconds and started again.

    python -m benchmarks.goodput                                # kills every 15 and 60 s; the row of 300 s is computed
    python -m benchmarks.goodput --every 300 --kills 3          # measures it, in half an hour

The `train` stage of the built-in data runs in a clone of the last commit. An undisturbed run gives the seconds from its start
to its first step, the seconds of a step, and those of a checkpoint. Then the stage is killed by SIGKILL and started again, with
the default interval between checkpoints and with that of Young (https://doi.org/10.1145/361147.361115), sqrt(2 x seconds of a
checkpoint x seconds between failures). Computed figures assume that each life repeats these parts.
"""

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.command import write
from resnet.training.checkpoint_files import FIRST_SECONDS, list_checkpoints
from tasks.stage.record import machine
from tasks.training.resume import SECONDS_VARIABLE, checkpoint_seconds

_TRAIN = [sys.executable, "-m", "tasks.train"]


@dataclass(frozen=True)
class Parts:
    """What a life of a run consists of, in seconds.

    Attributes:
        start: from the start of the process to its first step.
        step: of a step, with its part of the validation.
        checkpoint: for which a checkpoint holds training up.
        steps: in an epoch.
        gap: median time from one step to the next.
    """

    start: float
    step: float
    checkpoint: float
    steps: int
    gap: float


def young(checkpoint: float, between: float) -> float:
    """The interval between checkpoints with the least loss, if failures come on average every `between` seconds."""
    return math.sqrt(2 * max(checkpoint, 0.01) * between)  # a cost is known to 10 ms


def computed(parts: Parts, between: float, longest: float) -> float:
    """The goodput if the process is killed every `between` seconds.

    Args:
        parts: of a life.
        between: seconds from the start of a process to its kill.
        longest: the interval between checkpoints after the first ones, in seconds.
    """
    now, kept, interval = parts.start, 0.0, min(longest, FIRST_SECONDS)
    while now + interval + parts.checkpoint <= between:
        now += interval + parts.checkpoint
        kept += interval
        interval = min(longest, 2 * interval)
    return kept / between


class Stage:
    """The `train` stage of a clone, ready to be run.

    Args:
        folder: for the clone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "project"
        subprocess.run(["git", "clone", "--quiet", ".", str(self._folder)], check=True)
        self._environment = {**os.environ, "TRAIN_RESNET_EVENTS": str(folder / "events.jsonl"), "DVC_NO_ANALYTICS": "1"}
        self._environment["DVC_ROOT"] = str(self._folder)  # a stage of DVC ends if the program that started it is killed
        for stage in ("ingest", "preprocess", "build"):
            self._run([sys.executable, "-m", f"tasks.{stage}"])

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, cwd=self._folder, env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def _set_epochs(self, epochs: int) -> None:
        path = self._folder / "params.yaml"
        lines = path.read_text("utf-8").splitlines()
        changed = [f"  epochs: {epochs}" if line.strip().startswith("epochs:") else line for line in lines]
        path.write_text("\n".join(changed) + "\n", encoding="utf-8")
        shutil.rmtree(self._folder / ".dvc" / "tmp" / "checkpoints", ignore_errors=True)

    def measure(self, epochs: int) -> Parts:
        """Trains without a kill, with checkpoints every 5 s."""
        self._set_epochs(epochs)
        self._environment[SECONDS_VARIABLE] = "5"
        began = time.time()
        self._run(_TRAIN)
        events = Path(self._environment["TRAIN_RESNET_EVENTS"]).read_text("utf-8").splitlines()
        start = next(event for event in map(json.loads, events) if event["event"] == "start")
        facts = json.loads((self._folder / "reports" / "run.json").read_text("utf-8"))["stages"]["train"]
        cost, gap = facts["checkpoints"], statistics.median(self._gaps())
        seconds = facts["epoch_seconds"][-1]  # the first one includes the tracing
        tracing = max(0.0, facts["epoch_seconds"][0] - seconds)
        checkpoint = cost["held_up_seconds"] / cost["written"]
        return Parts(start["time"] - began + tracing, seconds / start["steps"], checkpoint, start["steps"], gap)

    def _gaps(self) -> list[float]:
        """Times from each step to the next in the life that wrote the events; it has recorded those of earlier lives again."""
        lines = Path(self._environment["TRAIN_RESNET_EVENTS"]).read_text("utf-8").split("\n")[:-1]
        start, *others = map(json.loads, lines or ['{"time": 0}'])
        times = [event["time"] for event in others if event["event"] == "step" and event["time"] >= start["time"]]
        return [later - earlier for earlier, later in pairwise(times)]

    def killed(self, parts: Parts, between: float, longest: float | None, kills: int) -> float:
        """Starts training and kills it some times; returns the goodput.

        Args:
            parts: of a life.
            between: seconds from the start of a process to its kill.
            longest: seconds between checkpoints; None for the default.
            kills: their number.
        """
        self._set_epochs(10_000)
        self._environment.pop(SECONDS_VARIABLE, None)
        if longest is not None:
            self._environment[SECONDS_VARIABLE] = str(longest)
        began, gaps = time.monotonic(), list[float]()
        for _ in range(kills):
            process = subprocess.Popen(_TRAIN, cwd=self._folder, env=self._environment, stdout=subprocess.DEVNULL)
            try:
                process.wait(between)
                raise RuntimeError(f"training ended by itself with {process.returncode}")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            gaps += self._gaps()
        wall = time.monotonic() - began
        folders = (self._folder / ".dvc" / "tmp" / "checkpoints").glob("*/")
        kept = max(((one.epoch - 1) * parts.steps + one.step for each in folders for one in list_checkpoints(each)), default=0)
        pace = statistics.median(gaps) / parts.gap if gaps else 1.0  # the machine may be faster now than it was at first
        return kept * parts.step * pace / wall


def table(parts: Parts, rows: list[dict[str, Any]], command: str) -> str:
    """The report: the parts, and a row for each time between kills."""
    facts = machine()
    lines = [
        "## Goodput",
        "",
        f"`{command}`, {facts['cores']} cores of {facts['processor']}. From its start to its first step a process takes "
        f"{parts.start:.1f} s, a step {1000 * parts.step:.0f} ms, a checkpoint holds training up for {parts.checkpoint:.2f} s.",
        "",
        "| a kill every | interval between checkpoints | goodput | how |",
        "|---|---|---|---|",
    ]
    for row in rows:
        interval = "default" if row["interval"] is None else f"{row['interval']:.1f} s"
        lines.append(f"| {row['every']:g} s | {interval} | {row['goodput']:.0%} | {row['how']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measures and reports; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodput", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=float, nargs="*", default=[15, 60], help="seconds between kills that are measured")
    parser.add_argument("--computed", type=float, nargs="*", default=[300], help="seconds between kills that are computed")
    parser.add_argument("--kills", type=int, default=4, help="kills of each setting")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the undisturbed run")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        parts = stage.measure(given.epochs)
        rows: list[dict[str, Any]] = []
        for every in dict.fromkeys((*given.every, *given.computed)):
            for interval in (None, young(parts.checkpoint, every)):
                longest = checkpoint_seconds() if interval is None else interval
                if every in given.every:
                    goodput, how = stage.killed(parts, every, interval, given.kills), f"measured, {given.kills} kills"
                else:
                    goodput, how = computed(parts, every, longest), "computed"
                rows.append({"every": every, "interval": interval, "goodput": goodput, "how": how})
                print(rows[-1], file=sys.stderr, flush=True)
    measured = {"parts": [asdict(parts)]}
    write(table(parts, rows, "python -m benchmarks.goodput"), rows, measured, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
