"""Deployments from a shell: served, or run by a worker elsewhere; watched, cancelled, queued; one run of the real pipeline."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.elsewhere import POOL, share, working
from tests.flows.quick import QuickProject, Server, wait_for
from tests.forks import like_from_a_shell
from tests.project import STAGES, Project

DEPLOYMENT = "train-resnet/train-resnet"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[QuickProject]:
    made = QuickProject(tmp_path_factory.mktemp("deployed"), server.environment)
    assert made.repro() == STAGES
    made.commit("results")
    yield made
    made.close()


@contextmanager
def serving(project: Project, server: Server, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Runs `python -m flows.serve`; the block begins when it accepts runs."""
    command = ["python", "-m", "flows.serve", *arguments]
    with (project.folder.parent / f"{project.folder.name}-serve.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environment,
            stdout=log,
            stderr=log,
            text=True,
            preexec_fn=like_in_a_script,  # noqa: PLW1509 - no other thread holds a lock
        )
    try:
        wait_for(lambda: is_served(server))
        yield process
        process.terminate()
        assert process.wait(60) == 0
        assert not is_served(server)
    finally:
        process.kill()
        process.wait()


def like_in_a_script() -> None:
    """A process that a script starts with `&` ignores Ctrl-C, but must end on SIGTERM."""
    like_from_a_shell()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def served_log(project: Project) -> str:
    return (project.folder.parent / f"{project.folder.name}-serve.log").read_text("utf-8")


def is_served(server: Server) -> bool:
    found = server.ask("deployments/filter", {"deployments": {"name": {"any_": ["train-resnet"]}}})
    return any(one["status"] == "READY" and not one["paused"] for one in found)


def submit(project: Project, *arguments: str, code: int = 0, name: str = "train-resnet") -> subprocess.CompletedProcess[str]:
    return project.run("prefect", "deployment", "run", name, *arguments, code=code)


def submit_training(project: QuickProject, server: Server, epochs: int, name: str) -> str:
    """Submits a run, waits until it trains, and returns its id."""
    trained = project.noted("begin")
    run = server.submit(DEPLOYMENT, name, {"train.epochs": epochs})
    wait_for(lambda: project.noted("begin") > trained)
    return run


def test_served_runs_are_experiments_that_can_be_watched_and_cancelled(project: QuickProject, server: Server) -> None:
    before = project.tree()
    with serving(project, server, "--limit", "1") as process:
        overrides = json.dumps({"train.learning_rate": 0.25})
        done = submit(project, "--param", f"overrides={overrides}", "--watch", "--flow-run-name", "watched")
        assert "Flow run finished successfully in 'Completed'." in done.stdout
        failed = submit(project, "-p", 'overrides={"train.momentum": 0.123}', "--watch", "--flow-run-name", "failed", code=1)
        sentence = "train: the momentum is not to my taste; choose another one."
        assert sentence in failed.stderr.splitlines()
        assert "Flow run finished in state 'Failed'." in failed.stdout + failed.stderr
        assert server.run("failed")["state"]["message"] == sentence
        assert "Traceback" not in served_log(project)
        refused = submit(project, "-p", 'overrides={"train.epochs": 0}', "--flow-run-name", "refused", code=1)
        assert "0 is less than the minimum of 1" in refused.stdout + refused.stderr
        assert server.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": ["refused"]}}}) == []
        cancelled = submit_training(project, server, 4000, "cancelled")
        project.run("prefect", "flow-run", "cancel", cancelled)
        wait_for(lambda: server.run("cancelled")["state_type"] == "CANCELLED")
        wait_for(lambda: not any("quick_stage" in line or "dvc_program" in line for line in project.processes()), 25)
        assert project.checkouts() == []

        submit_training(project, server, 4001, "ended")
        server.submit(DEPLOYMENT, "next", {})
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        assert project.processes() == []
        assert project.checkouts() == []
        assert server.run("next")["state_type"] == "SCHEDULED"
    assert project.experiments()["watched"]["params"]["params.yaml"]["data"]["train"]["learning_rate"] == 0.25
    assert not {"failed", "refused", "cancelled", "ended"} & set(project.experiments())
    assert project.tree() == before
    waiting = submit(project, "--flow-run-name", "waiting")
    assert "train-resnet is not being served: the run waits for" in waiting.stderr
    for name in ("waiting", "next"):
        server.ask(f"flow_runs/{server.run(name)['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


def test_with_a_limit_of_one_runs_start_in_the_order_of_submission(project: QuickProject, server: Server) -> None:
    names = [f"queued-{number}" for number in range(3)]
    project.notes.unlink()
    with serving(project, server, "--limit", "1"):
        for number, name in enumerate(names):
            server.submit(DEPLOYMENT, name, {"seed": 100 + number})
        wait_for(lambda: all(server.run(name)["state_type"] == "COMPLETED" for name in names), 120)
    assert sorted(names, key=lambda name: str(server.run(name)["start_time"])) == names
    assert project.notes.read_text("utf-8").split() == ["begin", "None", "end"] * 3  # never two at once
    assert set(names) <= set(project.experiments())


def test_a_worker_elsewhere_needs_only_git_and_the_remote_and_outlives_a_power_cut(
    project: QuickProject, server: Server, tmp_path: Path
) -> None:
    origin, place, experiment = share(project, tmp_path), tmp_path / "machine", "sweep-seed-77-01"
    for pool in (POOL, "train-resnet-gpu"):
        project.run("prefect", "work-pool", "create", pool, "--type", "process")
    project.run("prefect", "--no-prompt", "deploy", "--all")

    def pushed() -> set[str]:
        listed = project.run("git", "ls-remote", str(origin), "refs/exps/*").stdout
        return {line.rpartition("/")[2] for line in listed.splitlines()}

    def checkouts() -> list[Path]:
        return [path for path in place.glob("home/.local/share/train-resnet/*/.dvc/tmp/flows/checkouts/*") if path.is_dir()]

    with working(project, place) as worker:
        submit_training(project, server, 60, "elsewhere-lost")
        project.kill_all()
        worker.wait(60)
    assert pushed() == set()
    with working(project, place):
        swept = project.run("python", "-m", "flows.sweep", "--grid", "seed=77", "--pool", POOL).stdout
        assert re.search(rf"(?m)^\| {experiment} \| 77 ", swept)
        run = server.run("seed=77")
        assert f"Next: `dvc exp pull origin {experiment} && dvc exp apply {experiment}`" in run["state"]["message"]
        states = {name: task["state_name"] for name, task in server.tasks(run["id"]).items()}
        assert [states[stage] for stage in STAGES] == ["Cached", "Cached", *["Completed"] * 4]  # the remote had the first two
        wait_for(lambda: pushed() == {experiment, "elsewhere-lost"})  # this run has found the lost one and submitted it again
        wait_for(lambda: server.run("elsewhere-lost")["state_type"] == "COMPLETED")
    assert checkouts() == []
    assert project.has_read(experiment)
    project.run("dvc", "exp", "pull", "origin", experiment, "elsewhere-lost")
    found = {name: row["params"]["params.yaml"]["data"] for name, row in project.experiments().items()}
    assert found[experiment]["seed"] == 77
    assert found["elsewhere-lost"]["train"]["epochs"] == 60
    project.run("dvc", "exp", "apply", experiment)
    assert project.repro() == []


def test_the_real_pipeline_runs_by_the_name_of_its_deployment_alone_and_gives_the_bytes_of_dvc_repro(
    make_project: Callable[[], Project], finished_project: Path, server: Server
) -> None:
    project = make_project()
    project.environment |= server.environment
    subprocess.run(  # the deployment of the other tests in this file
        ["prefect", "deployment", "delete", "train-resnet/train-resnet"],
        env=project.environment,
        check=False,
        capture_output=True,
    )
    with serving(project, server):
        submit(project, "--watch", "--flow-run-name", "real")
    shown = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    rows = {one["revs"][0]["name"]: one["revs"][0]["data"] for branch in shown for one in branch["experiments"] or []}
    assert 0 < rows["real"]["metrics"]["reports/metrics.json"]["data"]["accuracy"] < 1
    project.run("dvc", "exp", "apply", "real")
    assert project.repro() == []
    assert {"models/resnet.keras", "reports/index.html", "reports/data.html"} <= project.hashes().keys()
    assert project.hashes() == project.hashes(finished_project / "dvc.lock")  # by processes that saw nothing of one another
