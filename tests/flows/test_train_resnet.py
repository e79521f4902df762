"""The flow from a shell: caching shared with DVC, experiments in checkouts, concurrent runs, failures, signals and sweeps."""

import json
import re
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.graph import read_graph
from tests.flows.quick import QuickProject, Server, wait_for
from tests.imports import ROOT
from tests.project import STAGES


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[QuickProject]:
    """A project with committed results of a run in place."""
    made = QuickProject(tmp_path_factory.mktemp("quick"), server.environment)
    first = made.run("python", "-m", "flows.train_resnet", "--experiment", "first")  # the others are forks, see `flow`
    log = first.stdout + first.stderr
    assert log.count("Finished in state Completed()") == 6
    made.commit("results")
    yield made
    made.close()


def states(log: str) -> list[str]:
    return re.findall(r"Task run '(\w+)' - Finished in state Cached", log)


def graph_of_dvc() -> dict[str, set[str]]:
    """The stages that each stage depends on, derived from the files in dvc.yaml."""
    graph = read_graph(ROOT / "dvc.yaml")
    names = {
        stage: {str(item if isinstance(item, str) else next(iter(item))) for kind in kinds for item in entry.get(kind, [])}
        for kinds in [("outs", "metrics", "plots")]
        for stage, entry in graph.items()
    }
    return {
        stage: {
            other
            for other, outputs in names.items()
            for dep in entry["deps"]
            for out in outputs
            if dep == out or dep.startswith(f"{out}/")
        }
        for stage, entry in graph.items()
    }


def test_the_flow_has_the_stages_and_the_dependencies_of_dvc_yaml(project: QuickProject, server: Server) -> None:
    log = project.flow("--experiment", "graph")
    run = server.run(re.findall(r"Beginning flow run '(.+?)'", log)[0])
    tasks = server.tasks(run["id"])
    by_id = {task["id"]: name for name, task in tasks.items()}
    assert [name for name, _ in sorted(tasks.items(), key=lambda item: item[1]["start_time"])] == STAGES
    upstream = {
        name: {by_id[one["id"]] for inputs in task["task_inputs"].values() for one in inputs} for name, task in tasks.items()
    }
    assert upstream == graph_of_dvc()


def test_dvc_repro_and_the_flow_share_one_cache(project: QuickProject) -> None:
    project.set(dpi="61")
    assert project.repro() == ["render"]
    assert states(project.flow("--experiment", "after-repro")) == STAGES
    project.set(dpi="62")
    assert states(project.flow("--experiment", "before-repro")) == STAGES[:-1]
    assert project.repro() == []
    project.run("git", "checkout", "--quiet", ".")
    log = project.flow("--experiment", "back")
    assert states(log) == STAGES
    assert "Restored from DVC's cache." in log
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_deleted_or_changed_output_is_restored_or_made_again(project: QuickProject) -> None:
    model, page = project.folder / "models/resnet.keras", project.folder / "reports/index.html"
    content = model.read_bytes()
    model.unlink()
    page.unlink()
    page.write_text("altered")
    log = project.flow("--experiment", "lost")
    assert log.count("Restored from DVC's cache.") == 2
    assert model.read_bytes() == content
    assert page.read_text() != "altered"
    for path in (project.folder / ".dvc/cache/runs").rglob("*"):  # now the output can only be made again
        if path.is_file():
            path.unlink()
    page.unlink()
    (project.folder / ".dvc/cache/files/md5" / project.hashes()["reports/index.html"][:2]).rename(project.folder / "gone")
    assert states(project.flow("--experiment", "gone")) == STAGES[:-1]
    assert page.exists()
    project.run("rm", "-r", "gone")


def test_an_edit_runs_only_the_stages_that_depend_on_the_folder(project: QuickProject) -> None:
    module = project.folder / "resnet/pictures/grid.py"
    module.write_text(module.read_text("utf-8") + "# changed\n", encoding="utf-8")
    assert states(project.flow("--experiment", "edited")) == STAGES[:-1]
    project.run("git", "checkout", "--quiet", ".")
    project.flow("--experiment", "unedited")


def test_an_override_makes_an_experiment_and_leaves_the_work_tree_alone(project: QuickProject) -> None:
    before = project.tree()
    project.flow("--set", "train.epochs=3", "--set", "train.weight_decay=1e-5", "--experiment", "wild; rm -rf $HOME 'x'")
    assert project.tree() == before
    assert project.checkouts() == []
    assert project.has_read("wild-rm-rf-HOME-x")
    row = project.experiments()["wild-rm-rf-HOME-x"]
    assert row["params"]["params.yaml"]["data"]["train"]["epochs"] == 3
    assert row["params"]["params.yaml"]["data"]["train"]["weight_decay"] == 1e-5
    assert row["metrics"]["reports/metrics.json"]["data"]["accuracy"] == 1 - 0.002
    project.run("dvc", "exp", "apply", "wild-rm-rf-HOME-x")
    model = json.loads(project.read("models/resnet.keras"))  # from the shared cache
    assert model["params"]["epochs"] == 3
    assert project.repro() == []
    project.run("git", "checkout", "--quiet", ".")
    project.run("dvc", "checkout", "--quiet")


def test_uncommitted_changes_are_named_and_left_out_or_included(project: QuickProject) -> None:
    project.set(dpi="77")
    (project.folder / "new.txt").write_text("new")
    log = project.flow("--checkout", "--experiment", "without")
    assert "Files that differ from HEAD are left out; include_changes includes them: new.txt, params.yaml" in log
    before = project.tree()
    log = project.flow("--include-changes", "--experiment", "with")
    assert "Files that differ from HEAD are included: new.txt, params.yaml" in log
    assert project.tree() == before
    dpi = {name: row["params"]["params.yaml"]["data"]["render"]["dpi"] for name, row in project.experiments().items()}
    assert (dpi["without"], dpi["with"]) == (60, 77)
    assert project.run("git", "show", f"{experiment_commit(project, 'with')}:new.txt").stdout == "new"
    (project.folder / "new.txt").unlink()
    project.run("git", "checkout", "--quiet", ".")


def experiment_commit(project: QuickProject, name: str) -> str:
    lines = project.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.splitlines()
    return next(line.split()[0] for line in lines if line.endswith(f"/{name}"))


def test_another_revision_runs_with_its_own_parameters(project: QuickProject) -> None:
    commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.set(dpi="99")
    project.commit("another")
    log = project.flow("--rev", commit, "--experiment", "old")
    assert states(log) == STAGES
    shown = project.run("git", "show", f"{experiment_commit(project, 'old')}:params.yaml").stdout
    assert "dpi: 60" in shown
    project.run("git", "reset", "--hard", "--quiet", commit)


def test_concurrent_runs_with_the_same_parameters_train_once(project: QuickProject) -> None:
    trained = project.noted("begin")
    seeds = {"twin-1": 1, "twin-2": 1, "other": 2}
    runs = []
    for name, seed in seeds.items():
        options = ["--set", "train.epochs=60", "--set", f"seed={seed}", "--experiment", name]
        runs.append(project.start("python", "-m", "flows.train_resnet", *options))
    assert [run.wait(120) for run in runs] == [0, 0, 0]
    assert project.noted("begin") == trained + 2
    rows = project.experiments()
    assert {name: rows[name]["params"]["params.yaml"]["data"]["seed"] for name in seeds} == seeds
    locks = {name: project.run("git", "show", f"{experiment_commit(project, name)}:dvc.lock").stdout for name in seeds}
    assert locks["twin-1"] == locks["twin-2"] != locks["other"]


def test_a_mistake_of_the_users_is_reported_in_one_sentence_and_not_retried(project: QuickProject, server: Server) -> None:
    trained = project.noted("begin")
    log = project.flow("--set", "train.momentum=0.123", "--experiment", "mistake", code=1)
    sentence = "train: the momentum is not to my taste; choose another one."
    assert log.splitlines()[-1] == sentence
    assert "Traceback" not in log
    assert project.noted("begin") == trained + 1
    run = server.run(re.findall(r"Beginning flow run '(.+?)'", log)[0])
    tasks = server.tasks(run["id"])
    assert (tasks["train"]["state_type"], tasks["train"]["state"]["message"]) == ("FAILED", sentence)
    assert (run["state_type"], run["state"]["message"]) == ("FAILED", sentence)
    assert "evaluate" not in tasks
    assert project.checkouts() == []
    assert "mistake" not in project.experiments()


def test_the_checkout_of_a_failed_run_is_kept_on_request(project: QuickProject) -> None:
    log = project.flow("--set", "train.momentum=0.123", "--keep-checkout", code=1)
    kept = Path(re.findall(r"The checkout is kept: (.+)", log)[0])
    assert "momentum: 0.123" in (kept / "params.yaml").read_text("utf-8")
    project.run("rm", "-r", str(kept))


def test_training_that_was_killed_is_retried(project: QuickProject) -> None:
    log = project.flow("--set", "train.momentum=0.231", "--experiment", "again")
    assert "train ended with code -9" in log
    assert "Retry 1/1" in log
    assert "again" in project.experiments()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_all_processes_and_removes_the_checkout(project: QuickProject, number: signal.Signals) -> None:
    before, trained = project.tree(), project.noted("begin")
    run = project.start("python", "-m", "flows.train_resnet", "--set", f"train.epochs={2000 + number}")
    wait_for(lambda: project.noted("begin") > trained)
    run.send_signal(number)
    run.wait(60)
    wait_for(lambda: project.processes() == [], 25)
    assert project.tree() == before
    if number == signal.SIGKILL:
        assert len(project.checkouts()) == 1
        project.flow("--checkout")
    assert project.checkouts() == []


def test_the_ui_has_progress_results_and_log_lines(project: QuickProject, server: Server) -> None:
    log = project.flow("--set", "train.epochs=20", "--experiment", "shown")
    run = server.run(re.findall(r"Beginning flow run '(.+?)'", log)[0])
    found: list[dict[str, Any]] = server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    artifacts = {artifact["key"]: artifact for artifact in found}
    assert artifacts["train-progress"]["data"] == 100
    last = "epoch 20 of 20: loss 0.0500, accuracy 0.5000, val_loss 0.5000, val_accuracy 0.5000"
    assert artifacts["train-progress"]["description"] == last
    assert artifacts["train-curves"]["description"] == last
    assert "](data:image/svg+xml;base64," in artifacts["train-curves"]["data"]
    assert (run["name"], run["tags"]) == ("epochs=20: 99.8 %", ["shown", "99.8 %", "cpu"])
    assert run["state"]["message"] == (
        "Experiment shown: test accuracy 99.8 % (98.8 to 100.8). Next: `dvc exp apply shown` for its files, "
        "or `train-resnet compare HEAD shown`"
    )
    page = artifacts["results"]["data"]
    assert page.count("](data:image/png;base64,iVBORw0KGgo") == 4
    assert all(
        words in page for words in ("dvc exp apply shown", "| accuracy | 0.998 |", "epochs: 20", project.hashes()["data/raw"])
    )
    lines = server.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC", "limit": 200})
    moments = [line["timestamp"] for line in lines if line["message"].startswith("epoch ")]
    assert len(moments) == 20
    assert all(earlier < later for earlier, later in pairwise(moments))


def test_a_sweep_finishes_although_child_runs_fail_and_lists_the_best_first(project: QuickProject, server: Server) -> None:
    result = project.run(
        "python",
        "-m",
        "flows.sweep",
        "--grid",
        "train.learning_rate=0.3,0.1",
        "train.momentum=0.9,0.123",
        "--parallel",
        "2",
        code=1,
    )

    rows = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert re.match(r"\| \S+-03 +\| 0.1 +\| 0.9 +\| 0.1000 +\| 90.0 % \(89.0 to 91.0\) +\|", rows[2])
    assert re.match(r"\| \S+-01 +\| 0.3 +\| 0.9 +\| 0.3000 +\| 70.0 % \(69.0 to 71.0\) +\|", rows[3])
    assert all("failed" in row and "not to my taste" in row for row in rows[4:])
    assert len(rows) == 6
    best = "sweep-lr-0.3-0.1-x-train.momentum-0.9-0.123-03"
    assert result.stderr.splitlines()[-1] == (
        f"2 of 4 runs failed. Lowest validation loss: {best}, test accuracy 90.0 % (89.0 to 91.0). "
        f"Next: `dvc exp apply {best}` for its files"
    )
    name = re.findall(r"Beginning flow run '(.+?)' for flow 'sweep'", result.stdout + result.stderr)[0]
    parent = server.run(name)
    children = server.ask("flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [parent["id"]]}}})
    assert {child["name"] for child in children} == {
        "lr=0.3 train.momentum=0.9: 70.0 %",
        "lr=0.3 train.momentum=0.123",
        "lr=0.1 train.momentum=0.9: 90.0 %",
        "lr=0.1 train.momentum=0.123",
    }
    assert {best, best.replace("-03", "-01")} <= set(project.experiments())


def test_sigterm_ends_a_sweep_and_all_its_child_runs(project: QuickProject) -> None:
    trained = project.noted("begin")
    run = project.start("python", "-m", "flows.sweep", "--grid", "train.epochs=3000,3001,3002", "--parallel", "2")
    wait_for(lambda: project.noted("begin") == trained + 2)
    run.terminate()
    run.wait(40)
    wait_for(lambda: project.processes() == [], 25)
    assert project.checkouts() == []
    assert project.noted("begin") == trained + 2
