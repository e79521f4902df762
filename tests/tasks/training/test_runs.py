"""The folders of training runs: who may work in them, how long they stay, and what finds them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
from tasks.train import Train
from tasks.training.fingerprint import contents, differences, fingerprint
from tasks.training.resume import checkpoint_seconds, decisive, sources
from tasks.training.runs import Run, begun, list_runs, prune, who
from tests.imports import ROOT
from tests.project import Project
from tests.tasks.test_train import VALUES

HOLDS = """
import sys, time
from pathlib import Path
from tasks.training.runs import begun
with begun(Path(sys.argv[1]), {"train.epochs": 3}) as run:
    print(run.folder.name, flush=True)
    time.sleep(60)
"""


def make(folder: Path, *, epochs: int, at: int, number: int = 0, days: float = 0) -> Run:
    """A run that has come to an epoch and was used some days ago."""
    with begun(folder, {"train.epochs": epochs, "number": number}) as run:
        write_checkpoint(run.folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": at, "step": 0}))
    then = time.time() - days * 86400
    for path in run.folder.iterdir():
        os.utime(path, (then, then))
    return run


def test_a_run_has_one_process_at_a_time_and_the_kernel_ends_its_claim(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    run = Run(tmp_path / name, {})
    expected = rf"^process {holder.pid} on \S+ \(.*python.* -c .* is training this very run; wait until it has finished"
    with pytest.raises(UserError, match=re.compile(expected, re.DOTALL)), begun(tmp_path, {"train.epochs": 3}):
        raise AssertionError("not reached")
    assert str(who(run)).startswith(f"process {holder.pid} on ")
    with begun(tmp_path, {"train.epochs": 4}):
        pass
    holder.kill()
    holder.communicate()
    with begun(tmp_path, {"train.epochs": 3}) as again:
        assert again.folder == run.folder
    assert who(run) is None


def test_what_a_killed_process_left_half_done_goes(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, at=2)
    (run.folder / ".partial-E00002").write_bytes(b"half")
    with begun(tmp_path, run.facts):
        assert not list(run.folder.glob(".*"))
        assert run.newest is not None


def test_three_finished_runs_are_kept_and_the_unfinished_for_two_weeks(tmp_path: Path) -> None:
    finished = [make(tmp_path, epochs=3, at=4, number=number, days=number) for number in range(5)]
    recent = make(tmp_path, epochs=3, at=3, number=5, days=13)
    forgotten = make(tmp_path, epochs=3, at=3, number=6, days=15)
    assert [run.finished for run in (*finished, recent, forgotten)] == [True] * 5 + [False] * 2
    prune(tmp_path)
    assert {run.folder for run in list_runs(tmp_path)} == {run.folder for run in (*finished[:3], recent)}


def test_a_run_that_a_process_is_at_is_not_pruned(tmp_path: Path) -> None:
    forgotten = make(tmp_path, epochs=3, at=3, days=15)
    with begun(tmp_path, forgotten.facts):
        then = time.time() - 15 * 86400
        for path in forgotten.folder.iterdir():
            os.utime(path, (then, then))
        prune(tmp_path)
        assert forgotten.newest is not None


CHANGES: dict[str, Any] = {
    "epochs": 5,
    "restarts": [2],
    "batch_size": 9,
    "optimizer": "sgd",
    "learning_rate": 0.011,
    "warmup_epochs": 0.5,
    "momentum": 0.81,
    "weight_decay": 0.004,
    "devices": 2,
    "label_smoothing": 0.21,
    "shift": 0.16,
    "flip": False,
    "class_weights": "balanced",
    "crop": 0.51,
    "trivial_augment": True,
    "mixup": 0.21,
    "cutmix": 1.1,
    "ema": 0.91,
    "accumulate": 2,
    "freeze_epochs": 1,
    "unfrozen_rate": 0.11,
    "patience": 3,
    "budget_minutes": 1.1,
}


def test_every_parameter_makes_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("1")
    (tmp_path / "code.py").write_text("1")
    base = decisive(Train(**VALUES), 0, [Path("data")], [Path("code.py")])
    # The precision that `auto` comes to is what counts; the stage adds it.
    assert CHANGES.keys() | {"precision"} == Train.model_fields.keys()
    for name, value in CHANGES.items():
        changed = decisive(Train(**(VALUES | {name: value})), 0, [Path("data")], [Path("code.py")])
        assert differences(base, changed) == [f"train.{name}"]
        assert fingerprint(changed) != fingerprint(base)
    assert differences(base, decisive(Train(**VALUES), 1, [Path("data")], [Path("code.py")])) == ["seed"]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert "environment.TF_ENABLE_ONEDNN_OPTS" in differences(base, decisive(Train(**VALUES), 0, [], []))


def test_data_and_code_are_known_by_their_bytes_and_data_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prepared/training").mkdir(parents=True)
    Path("prepared/training/images.npy").write_bytes(b"abc")
    Path("loop.py").write_bytes(b"abc")
    known = tmp_path / "hashes.json"
    arguments: Any = ([Path("prepared/training")], [Path("loop.py")], known)
    first = contents(*arguments)
    # sha256("abc"): FIPS 180-2, appendix B.1.
    assert set(first.values()) == {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert set(first) == {"data.training/images.npy", "code.loop.py"}
    Path("loop.py").write_bytes(b"abd")
    assert differences(first, contents(*arguments)) == ["code.loop.py"]
    Path("prepared/training/images.npy").write_bytes(b"abd")
    assert differences(first, contents(*arguments)) == ["code.loop.py", "data.training/images.npy"]
    opened: list[str] = []
    real = Path.open

    def noting(self: Path, *options: Any, **more: Any) -> Any:
        opened.append(self.name)
        return real(self, *options, **more)

    monkeypatch.setattr(Path, "open", noting)
    contents(*arguments)
    assert "images.npy" not in opened
    assert "loop.py" in opened


def test_a_longer_run_begins_with_the_shorter_ones(tmp_path: Path) -> None:
    def run(epochs: int, restarts: list[int]) -> Run:
        facts = {"train.epochs": epochs, "train.restarts": restarts}
        return Run(tmp_path / fingerprint(facts), facts)

    params: Any = Train(**(VALUES | {"epochs": 40, "restarts": [10, 20]}))
    assert list(sources(run(40, [10, 20]), params)) == [run(40, [10, 20]), run(20, [10]), run(10, [])]


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_the_time_between_checkpoints_is_a_number(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint_seconds() == 180
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_SECONDS", value)
    with pytest.raises(UserError, match="TRAIN_RESNET_CHECKPOINT_SECONDS must be a number of seconds"):
        checkpoint_seconds()


def test_runs_are_listed_and_removed(make_project: Callable[[], Project]) -> None:
    project = make_project()
    command = (sys.executable, "-m", "commands.checkpoints")
    assert project.run(*command).stdout == "there are no checkpoints in .dvc/tmp/checkpoints\n"
    folder = project.folder / ".dvc" / "tmp" / "checkpoints"
    one, two = make(folder, epochs=3, at=4), make(folder, epochs=3, at=2, number=1, days=3)
    first, second = project.run(*command).stdout.splitlines()
    assert re.fullmatch(rf"{one.folder.name}  \S+ \S+  finished \(3 epochs\), 0\.0 MB; differs in .*", first)
    assert re.fullmatch(rf"{two.folder.name}  \S+ \S+  epoch 2 of 3, step 0, 0\.0 MB; differs in .*", second)
    refused = project.run(*command, "--remove", "xyz", code=1).stderr
    assert refused.startswith("checkpoints: 0 runs have an ID that begins with 'xyz', but it must be one;")
    project.run(*command, "--remove", two.folder.name[:8])
    assert [run.folder for run in list_runs(folder)] == [one.folder]
    assert project.run(*command, "--all").stdout == f"removed {one.folder.name}\n"
    assert list_runs(folder) == []
