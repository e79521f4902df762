"""Whether runs on a GPU give the same bytes: whole ones, and ones that were killed by SIGKILL and resumed.

Every run is a process of its own that trains for one short epoch. `benchmarks.gpu` starts this module.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.gpu_contenders import read_name, splits, start
from benchmarks.training import CLASSES, NETWORKS, trainer_of

STEPS = 50
EVERY = 10  # steps between checkpoints

Hashes = dict[str, list[str]]


def extend(found: Hashes, name: str, options: argparse.Namespace, save: Callable[[Hashes], bool]) -> None:
    """Adds whole and resumed runs until there are enough of each.

    Args:
        found: the hashes so far, under "whole" and "resumed".
        name: of the contender.
        options: how many `runs` are wanted, how many of them in `parallel`, and their size, batch, network and device.
        save: is called after each run and says whether to go on.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        data = Path(folder)
        splits(data, options.size, options.batch, STEPS)
        command = [sys.executable, "-m", "benchmarks.gpu_repeats", "--contender", name, "--data", str(data)]
        command += ["--batch", str(options.batch), "--network", options.network, "--device", options.device]
        jobs = [(kind, number) for number in range(options.runs) for kind in found if number >= len(found[kind])]

        def add(done: "Future[str]", kind: str) -> bool:
            found[kind].append(done.result())
            print(f"{name}, {kind} run {len(found[kind])} of {options.runs}: {found[kind][-1][:16]}", file=sys.stderr)
            return save(found)

        pool = ThreadPoolExecutor(options.parallel)
        waiting = {pool.submit(_whole_or_resumed, command, data, *job): job[0] for job in jobs}
        try:
            for done in as_completed(list(waiting)):
                if not add(done, waiting.pop(done)):
                    break
        finally:
            pool.shutdown(cancel_futures=True)  # waits for those that have begun
        for done, kind in waiting.items():
            if not done.cancelled():
                add(done, kind)


def _whole_or_resumed(command: list[str], data: Path, kind: str, number: int) -> str:
    """The hash of a run; a resumed one is killed at a step that depends on its number."""
    if kind == "whole":
        return _run(command)
    with tempfile.TemporaryDirectory(dir=data) as checkpoints:
        kept = [*command, "--checkpoints", checkpoints]
        _run(kept, random.Random(number).randrange(1, STEPS))
        return _run(kept)


def _run(command: list[str], kill_at: int | None = None) -> str:
    """Runs a process and returns the hash that it prints; with `kill_at` kills it at this step.

    Raises:
        RuntimeError: it failed.
    """
    answer, lines = "", []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_quiet()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("{"):
                answer = json.loads(line)["sha256"]
            elif kill_at is not None and line.startswith("step ") and int(line.split()[1]) >= kill_at:
                process.kill()
                return ""
    if process.returncode or not answer:
        raise RuntimeError((lines or ["it ended"])[-1])
    return answer


def _quiet() -> dict[str, str]:
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}


def train(name: str, data: Path, checkpoints: Path | None, arguments: argparse.Namespace) -> str:
    """Trains for an epoch, from the last checkpoint if there is one; returns the hash of the final state."""
    choice = read_name(name)
    chosen = start(choice, arguments.device)
    from resnet.dataset.arrays import Split
    from resnet.network.device_kernels import using
    from resnet.network.precision import choose_precision
    from resnet.training.checkpoint_files import read_newest, write_checkpoint

    with using(chosen):
        training, validation = Split(data / "training", CLASSES), Split(data / "validation", CLASSES)
        precision = choose_precision("auto") if choice.precision == "auto" else choice.precision
        network = NETWORKS[arguments.network]
        trainer: Any = trainer_of(training.image_shape[0], network, precision, devices=choice.devices)
        snapshot = read_newest(checkpoints, print) if checkpoints else None
        if snapshot:
            trainer.state.restore(snapshot)

        def on_step(progress: Any) -> None:
            if checkpoints and progress.step % EVERY == 0:
                write_checkpoint(checkpoints, trainer.state.snapshot())
            print(f"step {progress.step}")

        trainer.fit(training, validation, epochs=1, batch_size=arguments.batch, seed=0, on_step=on_step)
    return fingerprint(trainer.state.snapshot().arrays)


def fingerprint(arrays: Any) -> str:
    """SHA-256 of arrays and their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def main() -> None:
    """Runs one run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_repeats", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--contender", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--network", choices=list(NETWORKS), default="resnet50")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    arguments = parser.parse_args()
    print(json.dumps({"sha256": train(arguments.contender, arguments.data, arguments.checkpoints, arguments)}))


if __name__ == "__main__":
    main()
