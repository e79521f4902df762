"""Prefect's server is killed and started again while a flow trains: a row of `docs/survival.md`.

python -m tests.soak.killed_server [--trials N]
"""

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.flows.quick import Server, wait_for
from tests.project import STAGES
from tests.soak.entry_points import EPOCHS, TrainingProject
from tests.soak.trials import Trial, main


def trial(project: TrainingProject, server: Server, expected: dict[str, str], rng: random.Random) -> None:
    """Kills the server at a random moment of a flow's training, and starts it again up to 12 s later."""
    known = {run["id"] for run in _runs(server)}
    process = project.open("flow", "", rng.choice([0, 60]))
    try:
        wait_for(lambda: bool(project.processes("tasks.train")))
        time.sleep(rng.uniform(0, 12))  # TensorFlow starts, then it trains
        trains = bool(project.processes("tasks.train"))
        server.stop(signal.SIGKILL)
        time.sleep(rng.uniform(0, 12))
        server.start()
        assert process.wait(180) == 0, "the flow failed"
    finally:
        process.kill()
        process.wait()
    assert trains, "the server was killed after training"
    assert project.hashes() == expected, "the results differ"
    (run,) = [one["id"] for one in _runs(server) if one["id"] not in known]
    wait_for(lambda: _states(server, run) == {"COMPLETED"}, 60)
    assert set(server.tasks(run)) == set(STAGES), "the server does not know each stage"


def _runs(server: Server) -> list[dict[str, str]]:
    return list(server.ask("flow_runs/filter", {"sort": "START_TIME_DESC"}))


def _states(server: Server, run: str) -> set[str]:
    return {server.ask(f"flow_runs/{run}")["state_type"], *(task["state_type"] for task in server.tasks(run).values())}


def killed(trials: int) -> int:
    """Runs the flow in place again and again, each time with a server that dies; returns the number that passed."""
    survived = 0
    with tempfile.TemporaryDirectory() as made:
        home = Path(made) / "prefect"
        home.mkdir()
        (Path(made) / "project").mkdir()
        project = TrainingProject(Path(made) / "project")
        server = Server(home)
        project.environment |= server.environment
        try:
            project.set(epochs=str(EPOCHS))
            project.run("dvc", "repro")
            expected = project.hashes()
            for number in range(trials):
                project.reset()
                try:
                    trial(project, server, expected, random.Random(number))
                    survived += 1
                except AssertionError as error:
                    print(f"server killed, {number}: {error}\n{project.log}", file=sys.stderr, flush=True)
        finally:
            server.stop()
    return survived


ROWS = (
    Trial(
        "SIGKILL to Prefect's server while a flow trains, and a new start",
        20,
        "the flow ends with equal hashes, all its states are `Completed`",
        killed,
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
