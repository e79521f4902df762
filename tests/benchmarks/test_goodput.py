"""What `benchmarks/goodput.py` computes, and what it measures of a stand-in for training; figures are worked out by hand."""

import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import goodput
from benchmarks.goodput import Parts, Stage, computed, table, young

# A stage `train` with epochs of 5 steps, which records the times that it is told. The undisturbed run of few epochs begins at
# 1007.5 s. Each life of a long run does 7 steps, with more time between them than in the life before, and then waits.
TRAIN = """
import json, os, time
from pathlib import Path

epochs = int(Path("params.yaml").read_text().partition("epochs:")[2].split()[0])
kept, lives = Path(".dvc/tmp/checkpoints/run"), Path("lives")
kept.mkdir(parents=True, exist_ok=True)
life = int(lives.read_text()) + 1 if lives.exists() else 0
lives.write_text(str(life))
print(os.environ["TRAIN_RESNET_CHECKPOINT_SECONDS"], file=Path("seconds").open("a"))
begin, gap = 1007.5 + 100 * life, 0.2 * (life + 1)
events = Path(os.environ["TRAIN_RESNET_EVENTS"])
earlier = [line for line in events.read_text().split("\\n")[:-1] if '"step"' in line] if life > 1 else []
done = len(earlier)
steps = [
    json.dumps({"event": "step", "time": begin + gap * number})
    for number in range(1, 1 + (5 * epochs if epochs < 100 else 7))
]
start = json.dumps({"event": "start", "time": begin, "steps": 5})
events.write_text("\\n".join([start, *earlier, *steps, '{"event": "ste']))
epoch, step = divmod(done + len(steps), 5)
(kept / f"E{epoch + 1:05d}-S{step:07d}-{'0' * 64}.safetensors").touch()
if epochs < 100:
    figures = {"epoch_seconds": [3.0, 1.5, 1.0], "checkpoints": {"held_up_seconds": 1.5, "written": 3}}
    Path("reports").mkdir(exist_ok=True)
    Path("reports/run.json").write_text(json.dumps({"stages": {"train": figures}}))
else:
    Path("ready").touch()
    time.sleep(600)
"""
PARTS = Parts(start=8.0, step=0.1, checkpoint=1.0, steps=20, gap=0.09)


def test_the_interval_of_young() -> None:
    assert young(2.0, 100.0) == 20.0


@pytest.mark.parametrize(
    ("between", "longest", "kept"),
    [
        (38.9, 180, 0),  # the first checkpoint is there at 8 + 30 + 1
        (39, 180, 30),
        (99.9, 180, 30),  # the second at 39 + 60 + 1
        (300, 180, 30 + 60 + 120),  # the third at 221; the next one at 402
        (402, 180, 30 + 60 + 120 + 180),
        (15, 2, 4),  # at 11 and 14
        (7, 0.5, 0),  # killed before the first step
    ],
)
def test_what_is_in_a_checkpoint_is_kept(between: float, longest: float, kept: float) -> None:
    assert computed(PARTS, between, longest) == pytest.approx(kept / between)


class Patient(subprocess.Popen[bytes]):
    """A process that has had its time when it has done its steps, on a busy machine too."""

    folder = Path()

    def wait(self, timeout: float | None = None) -> int:
        if timeout is None:
            return super().wait()
        ready = self.folder / "ready"
        while not ready.exists():
            assert self.poll() is None
            time.sleep(0.005)
        ready.unlink()
        raise subprocess.TimeoutExpired("train", timeout)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Of a project whose stages do nothing but what is above."""
    project = tmp_path / "project"
    (project / "tasks").mkdir(parents=True)
    for name in ("__init__", "ingest", "preprocess", "build", "train"):
        (project / "tasks" / f"{name}.py").write_text(TRAIN if name == "train" else "")
    (project / "params.yaml").write_text("train:\n  epochs: 40\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message", "x")):
        subprocess.run(["git", *command], cwd=project, check=True)
    monkeypatch.chdir(project)
    (tmp_path / "clone").mkdir()
    return Stage(tmp_path / "clone")


def test_a_life_is_measured_and_what_is_kept_after_kills(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, moments = tmp_path / "clone" / "project", [100.0, 110.0]
    monkeypatch.setattr(goodput, "time", SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: moments.pop(0)))
    parts = stage.measure(4)
    expected = Parts(start=7.5 + (3.0 - 1.0), step=1.0 / 5, checkpoint=1.5 / 3, steps=5, gap=0.2)
    assert asdict(parts) == pytest.approx(asdict(expected))
    assert (clone / "params.yaml").read_text() == "train:\n  epochs: 4\n"

    monkeypatch.setattr(Patient, "folder", clone)
    monkeypatch.setattr(subprocess, "Popen", Patient)
    # In 10 s, two lives of 7 steps, which are 0.4 s apart in the first and 0.6 s in the second: 2.5 times as long as measured.
    assert stage.killed(parts, 3.0, 12.5, 2) == pytest.approx(14 * 0.2 * 2.5 / 10)
    assert (clone / "seconds").read_text().split() == ["5", "12.5", "12.5"]
    assert (tmp_path / "project" / "params.yaml").read_text() == "train:\n  epochs: 40\n"


def test_a_row_says_whether_it_was_measured() -> None:
    rows: list[dict[str, Any]] = [
        {"every": 15, "interval": None, "goodput": 0.0, "how": "measured, 4 kills"},
        {"every": 300, "interval": 24.5, "goodput": 0.876, "how": "computed"},
    ]
    lines = table(PARTS, rows, "command").splitlines()
    assert lines[-2:] == ["| 15 s | default | 0% | measured, 4 kills |", "| 300 s | 24.5 s | 88% | computed |"]
    assert "8.0 s, a step 100 ms, a checkpoint holds training up for 1.00 s." in lines[2]
