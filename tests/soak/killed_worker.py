"""A worker on another machine is killed while its run trains: a row of `docs/survival.md`.

python -m tests.soak.killed_worker [--trials N]
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tasks.training.resume import SECONDS_VARIABLE
from tests.flows.elsewhere import POOL, share, working
from tests.flows.quick import Server
from tests.soak.entry_points import EPOCHS, TrainingProject, wait
from tests.soak.trials import Trial, main

_DEPLOYMENT = "train-resnet/train-resnet"


def trial(project: TrainingProject, server: Server, folder: Path, number: int) -> dict[str, str]:
    """Kills the worker, or all its processes as a power cut does, at a random moment; another worker starts then.

    If all died, the next run finds the lost one and submits it again. If the worker died alone, its run ends as `Crashed`, and
    is submitted again here.

    Args:
        project: at home.
        server: that both workers ask for runs.
        folder: with the repository `origin.git`, and for the other machine.
        number: of the trial.

    Returns:
        The hashes of the outputs that came back as an experiment.
    """
    rng, name, place = random.Random(number), f"killed-{number}", folder / f"machine-{number}"
    wanted = {"train.epochs": EPOCHS}
    with working(project, place) as worker:
        server.submit(_DEPLOYMENT, name, wanted)
        wait(lambda: bool(project.processes("tasks.train")), "the start of training")
        time.sleep(rng.uniform(0, 8))  # TensorFlow starts, then it trains for some seconds
        assert project.processes("tasks.train"), "the worker was to be killed after training"
        alone = rng.random() < 0.5
        for process in [worker.pid] if alone else project.every_process():
            os.kill(process, signal.SIGKILL)
        worker.wait()
    if alone:
        wait(lambda: server.run(name)["state_type"] == "CRASHED", "the end of the run")
        name = f"{name}-again"
    with working(project, place):
        server.submit(_DEPLOYMENT, *((name, wanted) if alone else (f"next-{number}", {})))
        wait(lambda: server.run(name)["state_type"] == "COMPLETED", f"the run {name}")
    listed = project.run("git", "ls-remote", "origin", "refs/exps/*").stdout.split()
    (reference,) = [one for one in listed if one.endswith(f"/{name}")]
    project.run("git", "fetch", "--quiet", "origin", reference)
    lock = folder / "dvc.lock"
    lock.write_text(project.run("git", "show", "FETCH_HEAD:dvc.lock").stdout, encoding="utf-8")
    shutil.rmtree(place)
    return project.hashes(lock)


def killed(trials: int) -> int:
    """Submits a run again and again, each time for a worker that dies; returns the number that passed."""
    survived = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("prefect", "project"):
            (folder / name).mkdir()
        project = TrainingProject(folder / "project")
        project.set(epochs=str(EPOCHS))
        project.run("dvc", "repro")
        expected = project.hashes()
        project.reset()
        server = Server(folder / "prefect")
        project.environment |= server.environment | {SECONDS_VARIABLE: "1"}
        try:
            share(project, folder)
            for pool in (POOL, "train-resnet-gpu"):
                project.run("prefect", "work-pool", "create", pool, "--type", "process")
            project.run("prefect", "--no-prompt", "deploy", "--all")
            for number in range(trials):
                try:
                    assert trial(project, server, folder, number) == expected, "the results differ"
                    survived += 1
                except (AssertionError, ValueError) as error:
                    log = folder / f"machine-{number}" / "worker.log"
                    found = log.read_text("utf-8") if log.exists() else ""
                    print(f"worker killed, {number}: {error}\n{found}", file=sys.stderr, flush=True)
        finally:
            for process in project.every_process():
                os.kill(process, signal.SIGKILL)
            server.stop()
    return survived


ROWS = (
    Trial(
        "SIGKILL to a worker on another machine, or to all its processes, while its run trains, and a new worker",
        20,
        "the run, or the same one submitted again, ends with equal hashes",
        killed,
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
