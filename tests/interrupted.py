"""A tiny training run that can be interrupted: `python -m tasks.train` without the seconds that importing TensorFlow takes.

The processes are forks of one that has imported TensorFlow but not used it. They do the same as the command of the stage.
"""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from resnet.training.checkpoint_files import list_checkpoints, read_checkpoint
from tests.imports import ROOT
from tests.project import Project

EPOCHS, STEPS, BATCH = 3, 20, 8
RESUMED = re.compile(r"train: resumes from epoch (\d+), step (\d+)")
ENDED = re.compile(r"train: ended by \w+ at epoch (\d+), step (\d+); run the same command to resume from there")


class TinyRun:
    """A folder to train in: 3 epochs of 20 steps, each a few milliseconds.

    Args:
        folder: where the project is made.
        copy_of: a run that has not started; the project is then a copy of its project.
    """

    def __init__(self, folder: Path, copy_of: "TinyRun | None" = None) -> None:
        self.folder = folder / "project"
        self.folder.mkdir(parents=True)
        self._log = folder / "log"
        self._before = (0, 0)
        project = Project(self.folder, copy_of=copy_of.folder if copy_of else None)
        self.set = project.set
        if copy_of:
            return
        project.set(blocks="[1]", width="4", epochs=str(EPOCHS), warmup_epochs="0.5")
        text = (self.folder / "params.yaml").read_text("utf-8").replace("batch_size: 32", f"batch_size: {BATCH}")
        (self.folder / "params.yaml").write_text(text, encoding="utf-8")
        assert self.join(self._start(_prepare)) == 0, self.log

    @property
    def checkpoints(self) -> Path:
        """The folder with the checkpoints of all runs."""
        return self.folder / ".dvc" / "tmp" / "checkpoints"

    @property
    def log(self) -> str:
        """The output of all processes since the last `forget`."""
        return self._log.read_text("utf-8") if self._log.exists() else ""

    def forget(self) -> None:
        """Removes all results of training."""
        for path in (self.checkpoints, self.folder / "models" / "resnet.keras", self.folder / "reports", self.folder / "live"):
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)

    def start(
        self,
        seconds: float = 0,
        *,
        with_parent: bool = False,
        stop_at: tuple[int, int] | None = None,
        pause: float = 0,
        devices: int = 1,
        events: str = "",
        steps: str = "",
        as_by_script: bool = False,
        stop_after: int | None = None,
        store: Mapping[str, str] | None = None,
        stop_by: signal.Signals = signal.SIGTERM,
        tf_config: str = "",
        meeting_seconds: float = 60,
        augmented: str = "",
        most: int = 0,
    ) -> ForkServerProcess:
        """Starts training.

        Args:
            seconds: between checkpoints.
            with_parent: starts it from another process, which can be killed.
            stop_at: the epoch and step after which the process sends itself a signal.
            pause: seconds after each step, so that a signal arrives before the end of the run even on a busy machine.
            devices: number of devices into which TensorFlow divides the processor.
            events: the file to record events in.
            steps: a file that gets a line for each step: the process, the time, the epoch, and the steps done in it.
            as_by_script: starts it as a script starts `nohup command &`, with SIGINT and SIGHUP ignored.
            stop_after: the epoch after which it pauses.
            store: variables of the environment for a store that hosts share. A dead host's lease then ends after a few seconds.
            stop_by: the signal of `stop_at`.
            tf_config: the hosts of the run, see `tasks/training/cluster.py`.
            meeting_seconds: that they have to meet.
            augmented: a file that gets a line for each augmentation in a compiled step: its number of images.
            most: images for which there is memory in a step; 0 for any number.
        """
        self._before = self.position()
        environment = {"MEETING_SECONDS": str(meeting_seconds), "STOP_BY": str(int(stop_by))}
        environment |= {"TF_CONFIG": tf_config} if tf_config else {}
        environment |= {"TRAIN_RESNET_CHECKPOINT_SECONDS": str(seconds), "PAUSE": str(pause), "DEVICES": str(devices)}
        environment["TRAIN_RESNET_EVENTS"] = events
        environment["STEPS"] = steps
        environment |= {"AUGMENTED": augmented, "MOST": str(most)}
        environment["AS_BY_SCRIPT"] = "yes" if as_by_script else ""
        if stop_after is not None:
            environment["TRAIN_RESNET_STOP_AFTER"] = str(stop_after)
        environment["STOP_AT"] = "{}-{}".format(*stop_at or (0, 0))
        environment |= {**store, "PATIENCE": "3"} if store else {}
        return self._start(_parent if with_parent else _train, environment)

    def _start(self, target: Callable[..., None], environment: dict[str, str] | None = None) -> ForkServerProcess:
        context = multiprocessing.get_context("forkserver")
        os.environ.update(KERAS_BACKEND="tensorflow", PYTHONPATH=str(ROOT))  # of the fork server
        context.set_forkserver_preload(["resnet.training.loop", "resnet.network.saving", "tasks.train"])
        process = context.Process(target=target, args=(self.folder, self._log, environment or {}))
        process.start()
        return process

    def join(self, process: ForkServerProcess, seconds: float = 120) -> int:
        """Waits for a process; returns its exit code."""
        process.join(seconds)
        assert process.exitcode is not None, f"it did not end within {seconds} s:\n{self.log}"
        return process.exitcode

    def complete(self, devices: int = 1, *, augmented: str = "") -> str:
        """Trains to the end, with options of `start`; returns the hash of the results."""
        assert self.join(self.start(devices=devices, augmented=augmented)) == 0, self.log
        return self.outcome()

    def position(self) -> tuple[int, int]:
        """Epoch and step of the latest checkpoint."""
        return max(self.kept(), default=(0, 0))

    def kept(self) -> list[tuple[int, int]]:
        """Epoch and step of each checkpoint, the latest first."""
        found = [(one.epoch, one.step) for folder in self.checkpoints.glob("*/") for one in list_checkpoints(folder)]
        return sorted(found, reverse=True)

    def wait_for(self, position: tuple[int, int]) -> None:
        """Waits for a checkpoint at a position or later that the last started process wrote, which is then training."""
        deadline = time.monotonic() + 120
        while self.position() < position or self.position() <= self._before:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.002)

    def outcome(self) -> str:
        """The hash of model, history, and final state (with optimizer and metrics), without the times."""
        digest = hashlib.sha256()
        for name in ("models/resnet.keras", "reports/history.csv"):
            digest.update((self.folder / name).read_bytes())
        last = max((one for folder in self.checkpoints.glob("*/") for one in list_checkpoints(folder)), key=_place)
        snapshot = read_checkpoint(last.path)
        facts = {name: fact for name, fact in snapshot.facts.items() if name != "images_per_second"}
        for row in facts["history"]:
            del row["seconds"], row["images_per_second"]
        digest.update(json.dumps(facts).encode())
        for name, array in snapshot.arrays.items():
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()


def _place(checkpoint: object) -> tuple[int, int]:
    return checkpoint.epoch, checkpoint.step  # type: ignore[attr-defined]


def _enter(folder: Path, log: Path, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["tasks.train"]
    sys.orig_argv = [sys.executable, "-m", "tasks.train"]


def _train(folder: Path, log: Path, environment: dict[str, str]) -> None:
    from tasks.stage.command import main

    _enter(folder, log, environment)
    for number in (signal.SIGINT, signal.SIGHUP):  # the tests themselves may run under `nohup`
        signal.signal(number, signal.SIG_IGN if environment["AS_BY_SCRIPT"] else signal.SIG_DFL)
    _divide_processor(int(environment["DEVICES"]))
    _disturb(environment)
    sys.exit(main("train"))


def _divide_processor(devices: int) -> None:
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


def _disturb(environment: dict[str, str]) -> None:
    from tasks.training import cluster, lease
    from tasks.training.resume import Keeper

    cluster.MEETING_SECONDS = float(environment["MEETING_SECONDS"])
    if "PATIENCE" in environment:
        lease.PATIENCE = float(environment["PATIENCE"])
        lease.BEAT = lease.PATIENCE / 6
    real = Keeper.__call__
    epoch, step = map(int, environment["STOP_AT"].split("-"))
    steps = os.open(environment["STEPS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if environment["STEPS"] else None

    def keep(self: Keeper) -> None:
        if steps is not None:
            os.write(steps, f"{os.getpid()} {time.time()} {self._state.epoch} {self._state.step}\n".encode())
        if (self._state.epoch, self._state.step) == (epoch, step):
            if "TF_CONFIG" not in environment:  # several hosts must ask the same number of times
                self._received()  # after its first call a signal is noted
            os.kill(os.getpid(), int(environment["STOP_BY"]))
        time.sleep(float(environment["PAUSE"]))
        real(self)

    Keeper.__call__ = keep  # type: ignore[method-assign]
    if environment["AUGMENTED"]:
        _count_augmented(Path(environment["AUGMENTED"]))
    if int(environment["MOST"]):
        _lessen_memory(int(environment["MOST"]))


def _count_augmented(path: Path) -> None:
    import tensorflow as tf

    from resnet.training.augmentation import Augmentation

    augment = Augmentation.__call__

    def counted(self: Augmentation, images: tf.Tensor, *rest: object) -> tf.Tensor:
        if not tf.executing_eagerly():  # the page of the run shows augmented images, which no step needs
            with path.open("a") as file:
                file.write(f"{images.shape[0]}\n")
        return augment(self, images, *rest)  # type: ignore[arg-type]

    Augmentation.__call__ = counted  # type: ignore[method-assign,assignment]


def _lessen_memory(most: int) -> None:
    from resnet.training.loop import Trainer
    from tests.small_device import small_device

    make = Trainer.__init__

    def made(self: Trainer, *given: Any, **options: Any) -> None:
        make(self, *given, **options)
        small_device(self, most)

    Trainer.__init__ = made  # type: ignore[method-assign]


def _parent(folder: Path, log: Path, environment: dict[str, str]) -> None:
    """Replaces DVC, which starts the trainer and waits for it."""
    child = os.fork()
    if child == 0:
        _train(folder, log, environment | {"DVC_ROOT": str(folder)})
    (log.with_name("child")).write_text(str(child))
    os.waitpid(child, 0)


def _prepare(folder: Path, log: Path, environment: dict[str, str]) -> None:
    """Makes the outputs of the stages before training."""
    import keras
    import numpy as np

    from resnet.dataset.arrays import SplitWriter
    from resnet.network.model import ResNet
    from resnet.network.saving import save_model

    _enter(folder, log, environment)
    generator = np.random.default_rng(0)
    prepared = Path("data/prepared")
    prepared.mkdir()
    (prepared / "classes.json").write_text('["dark", "bright"]\n')
    for name, images in (("training", STEPS * BATCH + 5), ("validation", 20)):
        with SplitWriter(prepared / name, images, 32) as writer:
            for number in range(images):
                level = 90 if number % 2 else 150
                writer.add((level + generator.integers(-80, 80, (32, 32, 3))).astype(np.uint8), number % 2)
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, class_names=["dark", "bright"])
    save_model(model, Path("models/initial.keras"))


def is_alive(process: int) -> bool:
    """Whether the process with this ID exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def child_of(run: TinyRun) -> int:
    """The process ID of the last trainer that was started with a parent."""
    return int((run.folder.parent / "child").read_text())


def kill(process: ForkServerProcess, number: signal.Signals) -> None:
    """Sends a signal."""
    assert process.pid is not None
    os.kill(process.pid, number)
