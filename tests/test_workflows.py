"""The descriptions of CI for GitHub: what they may do, and the steps of `report.yml` in a clone with a stand-in for `gh`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.commands.revisions import git, write_repository
from tests.imports import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: YAML(typ="safe", pure=True).load(path) for path in sorted(FOLDER.glob("*.yml"))}
REPORT = WORKFLOWS["report.yml"]["jobs"]
GH = '#!/bin/sh\n{ printf "%s\\n" "$@"; echo --; cat; } > "$CALLS"\n'


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_can_only_read_unless_a_job_says_otherwise(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    # `pull_request_target` and `workflow_run` run with the secrets of the repository, also for pull requests of forks.
    assert set(workflow["on"]) <= {"push", "pull_request"}
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
        if "permissions" in job:
            assert not [step for step in job["steps"] if "uses" in step]  # neither the code nor an action of others


@pytest.mark.parametrize("name", WORKFLOWS)
def test_texts_of_a_pull_request_are_no_commands(name: str) -> None:
    """An expression in a script is replaced before the shell reads it; in `env` it is a value."""
    assert [step["run"] for step in steps(WORKFLOWS[name]) if "${{" in step.get("run", "")] == []


def test_the_workflows_use_the_same_versions_of_actions() -> None:
    used = {step["uses"] for workflow in WORKFLOWS.values() for step in steps(workflow) if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used)
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    for workflow in WORKFLOWS.values():
        checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(checkouts)


def test_a_comment_needs_a_pull_request_of_the_repository_itself() -> None:
    assert REPORT["comment"]["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert REPORT["comment"]["permissions"] == {"pull-requests": "write"}
    (step,) = REPORT["comment"]["steps"]
    assert step["env"]["MARKDOWN"] == "${{ needs.compare.outputs.markdown }}"
    assert "permissions" not in REPORT["compare"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository of `tests/commands/revisions.py`, and programs to find in `PATH`."""
    repository, programs = tmp_path / "clone", tmp_path / "programs"
    repository.mkdir()
    programs.mkdir()
    write_repository(repository)
    (repository / ".venv/bin").mkdir(parents=True)
    (repository / ".venv/bin/activate").touch()
    for name, text in (("gh", GH), ("train-resnet", f'#!/bin/sh\nexec {sys.executable} -m commands "$@"\n')):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    return repository


def merge(repository: Path, base: str, head: str) -> None:
    """Checks out what GitHub does for a pull request: a merge of its commit into that of the base branch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        git("checkout", "--quiet", base)
        git("merge", "--quiet", "--no-ff", "--strategy-option", "theirs", "--message", "merge", head)


def run(script: str, repository: Path, **variables: str) -> dict[str, str]:
    """Runs a script as GitHub does; returns the outputs that it sets."""
    folder = repository.parent
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(folder / "programs"), str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(ROOT),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "CALLS": str(folder / "calls"),
        **variables,
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
    result = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = (folder / "output").read_text("utf-8") if (folder / "output").exists() else ""
    return {name: value for name, _, value in re.findall(r"(?ms)^(\w+)<<(end-[0-9a-f]{32})\n(.*?)\n\2$", text)}


def script_of(job: str) -> str:
    return str(REPORT[job]["steps"][-1]["run"])


def test_the_comparison_is_a_summary_and_a_comment(clone: Path) -> None:
    merge(clone, "first", "second")
    outputs = run(script_of("compare"), clone)
    summary = (clone.parent / "summary.md").read_text("utf-8")
    assert summary.startswith("### There is no significant difference on these 5 images")
    assert "| <code>train.epochs</code> | <code>3</code> | <code>5</code> |" in summary
    assert outputs == {"markdown": summary.rstrip("\n")}
    hostile = f"{outputs['markdown']}\n$(touch $CALLS.x) `id` -n %s\\n"
    run(script_of("comment"), clone, MARKDOWN=hostile, NUMBER="7")
    arguments, _, body = (clone.parent / "calls").read_text("utf-8").partition("--\n")
    assert arguments.split() == ["pr", "comment", "7", "--body-file", "-", "--edit-last", "--create-if-none"]
    assert body == f"{hostile}\n"
    assert not (clone.parent / "calls.x").exists()


def test_results_that_cannot_be_compared_give_their_figures_and_the_reason(clone: Path) -> None:
    merge(clone, "first", "other")
    markdown = run(script_of("compare"), clone)["markdown"]
    assert re.match(
        r"### The images of [0-9a-f]+ and [0-9a-f]+ could not be compared one by one\n\n```text\ncompare: ", markdown
    )
    assert "differ: 5 of 5 are only in" in markdown
    assert "| Path" in markdown
