"""One training run is killed 1,000 times by SIGKILL, and ends with the bytes of a run that was not: `docs/killed.png`.

python -m tests.soak.thousand_kills                             # half an hour on two idle cores; writes the page, too
python -m tests.soak.thousand_kills --kills 20 --to /tmp/x.png  # a short one

Each life of the run is a fork of a process that has imported TensorFlow but not used it; it runs the command of the stage.
Two of three lives are killed up to 1.5 s after their start, mostly while TensorFlow starts. The third is killed up to 2 s after
its first step. It waits 0.05 s after each step: otherwise the run would be over after fewer kills.
"""

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tasks.stage.record import machine
from tests.imports import ROOT
from tests.interrupted import STEPS, TinyRun
from tests.soak.__main__ import PAGE, write_section

_STARTING, _TRAINING = 1.5, 2.0  # seconds until a kill, at most: after the start, and after the first step
_INTERVAL = 0.25  # seconds between checkpoints
_PAUSE = 0.05  # seconds after each step
_STEPS_A_KILL = 7  # a third of the lives train for 1 s on average, which is 18 steps, of which 2 are lost


@dataclass(frozen=True)
class Life:
    """A life of the run.

    Attributes:
        end: when it was killed, in seconds since 1970.
        number: from 0; IDs of processes are used again.
        kept: steps in the newest checkpoint at its end.
    """

    end: float
    number: int
    kept: int


@dataclass(frozen=True)
class Outcome:
    """What became of the run.

    Attributes:
        lives: those that were killed.
        steps: number of the life, time and steps done, for each step of any life.
        expected: the SHA-256 of the undisturbed run's model.
        found: the SHA-256 of the killed run's model.
        alike: whether history and last state are equal, too.
    """

    lives: list[Life]
    steps: list[tuple[int, float, int]]
    expected: str
    found: str
    alike: bool

    @property
    def training(self) -> set[int]:
        """The numbers of the lives that did a step."""
        return {number for number, *_ in self.steps}


def model_of(run: TinyRun) -> str:
    """The SHA-256 of the model."""
    return hashlib.sha256((run.folder / "models" / "resnet.keras").read_bytes()).hexdigest()


def read_steps(folder: Path) -> list[tuple[int, float, int]]:
    """Number of the life, time and steps done, for each complete line of the files that `TinyRun.start` fills."""
    rows = [
        (int(path.name), line.split()) for path in sorted(folder.iterdir()) for line in path.read_text("ascii").split("\n")[:-1]
    ]
    return [(number, float(when), (int(epoch) - 1) * STEPS + int(step)) for number, (_, when, epoch, step) in rows]


def live(run: TinyRun, steps: Path, dice: random.Random) -> ForkServerProcess:
    """Starts the run and kills it; returns its process, which ended by itself if training was complete."""
    process = run.start(_INTERVAL, pause=_PAUSE, steps=str(steps))
    seconds = dice.uniform(0, _STARTING)
    if dice.random() < 1 / 3:
        seconds = dice.uniform(0, _TRAINING)
        while process.is_alive() and not (steps.exists() and steps.stat().st_size):
            time.sleep(0.02)
    process.join(seconds)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    run.join(process)
    return process


def kill(run: TinyRun, kills: int) -> Outcome:
    """Trains without a disturbance, then again with some number of kills and to the end."""
    run.set(epochs=str(max(3, kills * _STEPS_A_KILL // STEPS)))
    steps, dice, lives = run.folder.parent / "steps", random.Random(0), list[Life]()
    steps.mkdir()
    assert run.join(run.start(60), 3600) == 0, run.log
    whole, expected = run.outcome(), model_of(run)
    run.forget()
    while len(lives) < kills:
        process = live(run, steps / f"{len(lives):06d}", dice)
        if process.exitcode != -signal.SIGKILL:
            print(f"the run ended with {process.exitcode} after {len(lives)} kills:\n{run.log[-2000:]}", file=sys.stderr)
            break
        epoch, step = run.position()
        lives.append(Life(time.time(), len(lives), max(0, epoch - 1) * STEPS + step))
        if len(lives) % 50 == 0:
            print(f"{len(lives)} kills, {lives[-1].kept} steps", flush=True)
    assert run.join(run.start(60, steps=str(steps / f"{kills:06d}")), 3600) == 0, run.log
    return Outcome(lives, read_steps(steps), expected, model_of(run), run.outcome() == whole)


def draw(outcome: Outcome, path: Path) -> None:
    """Draws steps over time with the kills, and the SHA-256 of both models."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    training, begin = outcome.training, min(outcome.steps[0][1], outcome.lives[0].end)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for number in training:
        mine = [(when, done) for one, when, done in outcome.steps if one == number]
        axes.plot([(when - begin) / 60 for when, _ in mine], [done for _, done in mine], color="#1f77b4", linewidth=1.2)
    for name, colour, at in (
        ("killed while it started", "#999999", [life for life in outcome.lives if life.number not in training]),
        ("killed while it trained", "#d62728", [life for life in outcome.lives if life.number in training]),
    ):
        label = f"{name}: {len(at):,} times"
        axes.scatter([(life.end - begin) / 60 for life in at], [life.kept for life in at], 4, colour, zorder=3, label=label)
    axes.set(xlabel="minutes", ylabel="steps")
    axes.set_title(f"One run, {len(outcome.lives):,} times SIGKILL", loc="left")
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    text = f"SHA-256 of its model      {outcome.found}\nof the undisturbed run's  {outcome.expected}"
    axes.annotate(text, (0, -0.14), xycoords="axes fraction", va="top", family="monospace", fontsize=6.5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def describe(outcome: Outcome) -> str:
    """The section of the page: exactly what was done."""
    lives, facts = outcome.lives, machine()
    last = dict(sorted((number, done) for number, _, done in outcome.steps))
    trained = [life for life in lives if life.number in last]
    again = sum(last[life.number] - life.kept for life in trained)
    minutes = (lives[-1].end - lives[0].end) / 60
    text = (
        f"`python -m tests.soak.thousand_kills` trained a network of one block for {max(last.values()):,} steps and killed it "
        f"by SIGKILL {len(lives):,} times in {minutes:.0f} minutes: {len(lives) - len(trained):,} times before the first step "
        f"of a life, {len(trained):,} times while it trained. Each life was a fork of a process that had imported TensorFlow "
        f"but not used it, and ran the command of the stage `train`. Two of three lives were to end up to {_STARTING} s after "
        f"their start, the others up to {_TRAINING} s after their first step. The run wrote a checkpoint every {_INTERVAL} s "
        f"and waited {_PAUSE} s after each step, so that it lasted for all kills. {again:,} steps were lost and done again. "
        f"The last life was not killed. The SHA-256 of its model is `{outcome.found[:16]}...`, that of a run without a kill "
        f"`{outcome.expected[:16]}...`. Run on {time.strftime('%Y-%m-%d')} on {facts['cores']} cores of {facts['processor']}."
    )
    picture = f"![Steps over time of one run that was killed {len(lives):,} times](killed.png)"
    return f"{textwrap.fill(text, 124, break_on_hyphens=False, break_long_words=False)}\n\n{picture}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Kills the run, prints both hashes and draws; the exit code is 1 if they differ or there were fewer kills."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.thousand_kills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--to", type=Path, help="the picture (default: docs/killed.png, and a section of the page)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill(TinyRun(Path(folder)), given.kills)
    print(f"killed       {outcome.found}\nundisturbed  {outcome.expected}\nhistory and last state equal: {outcome.alike}")
    well = outcome.found == outcome.expected and outcome.alike and len(outcome.lives) == given.kills
    if well or given.to:
        draw(outcome, given.to or ROOT / "docs" / "killed.png")
    if well and not given.to:
        write_section(ROOT / PAGE, f"One run, killed {given.kills:,} times", describe(outcome))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
