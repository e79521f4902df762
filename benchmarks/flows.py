"""The cost of Prefect: `python -m benchmarks.flows [cached] [overhead] [queue] [sweep]`; all four by default.

Each measurement uses a copy of the project with a network of two blocks, or with stages that compute nothing. All use one
temporary server. The duration of a flow is the one that the server records, so the start of Python and of the server is not
included.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.flows.quick import QuickProject, Server, wait_for
from tests.project import Project


def main(names: list[str]) -> None:
    """Runs the named measurements, or all if none is named."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "server"
        home.mkdir()
        server = Server(home)
        try:
            for name in names or list(MEASUREMENTS):
                (Path(folder) / name).mkdir()
                MEASUREMENTS[name](Path(folder) / name, server)
        finally:
            server.stop()


def cached(folder: Path, server: Server) -> None:
    """Measures a flow in place with six up-to-date stages, five times."""
    project = _real(folder, server)
    project.repro()
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "results")
    seconds = []
    for number in range(5):
        project.run("python", "-m", "flows.train_resnet", "--experiment", f"cached-{number}")
        seconds.append(_seconds(server))
    print(f"six cached tasks: {_spread(seconds)} s from flow start to flow end")


def overhead(folder: Path, server: Server) -> None:
    """Measures six stages that compute nothing, by `dvc repro` and by a flow in place, in turns."""
    pairs = []
    for number in range(5):
        for name in ("repro", "flow"):
            (folder / f"{name}-{number}").mkdir()
        repro, flow = (QuickProject(folder / f"{name}-{number}", server.environment) for name in ("repro", "flow"))
        began = time.monotonic()
        repro.repro()
        alone = time.monotonic() - began
        flow.run("python", "-m", "flows.train_resnet")
        pairs.append((alone, _seconds(server)))
        assert repro.hashes() == flow.hashes()
        print(f"  dvc repro {pairs[-1][0]:.1f} s, flow {pairs[-1][1]:.1f} s")
    print(f"overhead of a flow over dvc repro: {_spread([flow - alone for alone, flow in pairs])} s")


def queue(folder: Path, server: Server) -> None:
    """Submits 20 runs to a server process that runs one at a time."""
    project = _quick(folder, server)
    names = [f"run-{number:02d}" for number in range(20)]
    serving = project.start("python", "-m", "flows.serve", "--limit", "1")
    wait_for(lambda: bool(server.ask("deployments/filter", {"deployments": {"name": {"any_": ["train-resnet"]}}})))
    for number, name in enumerate(names):
        overrides = f'overrides={{"seed": {number + 1}}}'
        project.run("prefect", "deployment", "run", "train-resnet", "-p", overrides, "--flow-run-name", name)
    wait_for(lambda: all(server.run(name)["state_type"] == "COMPLETED" for name in names), 1200)
    serving.terminate()
    serving.wait(60)
    runs = [server.run(name) for name in names]
    in_order = [run["name"] for run in sorted(runs, key=lambda run: str(run["start_time"]))] == names
    logs = (folder / "project.log", folder.parent / "server" / "server.log")
    kept = len(set(names) & set(project.experiments()))
    runs_log, servers_log = (log.read_text("utf-8").count("is locked") for log in logs)
    print(f"20 runs on one slot: {kept} experiments, in order of submission: {in_order}")
    print(f"  'is locked' in the log of the runs {runs_log} times, in the server's {servers_log} times")


def sweep(folder: Path, server: Server) -> None:
    """Measures a sweep of six runs, two at a time and one at a time."""
    seconds = {}
    for parallel in ("2", "1"):
        project = _real(folder / parallel, server)
        project.environment["TRAIN_RESNET_SLOTS"] = "2"
        project.repro()
        project.run("git", "add", "--all")
        project.run("git", "commit", "--quiet", "--message", "results")
        began = time.monotonic()
        grid = ["train.learning_rate=0.001,0.004,0.01", "seed=1,2"]
        project.run("python", "-m", "flows.sweep", "--grid", *grid, "--parallel", parallel)
        seconds[parallel] = time.monotonic() - began
    ratio = seconds["2"] / seconds["1"]
    print(f"sweep of 6: {seconds['2']:.0f} s with two at a time, {seconds['1']:.0f} s one after another, ratio {ratio:.2f}")


MEASUREMENTS: dict[str, Callable[[Path, Server], None]] = {
    "cached": cached,
    "overhead": overhead,
    "queue": queue,
    "sweep": sweep,
}


def _real(folder: Path, server: Server) -> Project:
    folder = folder / "project"
    folder.mkdir(parents=True)
    project = Project(folder)
    project.environment |= server.environment
    return project


def _quick(folder: Path, server: Server) -> QuickProject:
    (folder / "project").mkdir()
    project = QuickProject(folder / "project", server.environment)
    project.repro()
    project.commit("results")
    return project


def _seconds(server: Server) -> float:
    runs = server.ask("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
    return float(runs[0]["total_run_time"])


def _spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main(sys.argv[1:])
