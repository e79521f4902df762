"""The parameters of a run and its name."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.training.changes import changed, name_of, parameters, present

TEXT = "seed: 0\ntrain:\n  learning_rate: 1e-3\n  restarts: []\n"


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(TEXT, encoding="utf-8")
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    for command in (["init", "--quiet"], ["add", "params.yaml"], [*identity, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_parameters_are_those_of_dvc() -> None:
    assert parameters(TEXT) == {"seed": 0, "train.learning_rate": 0.001, "train.restarts": []}


@pytest.mark.parametrize("text", [None, "", "a: [", "- 1\n", "x"])
def test_what_is_no_params_yaml_has_none(text: str | None) -> None:
    assert parameters(text) == {}


def test_changes_are_those_since_the_last_commit(committed: Path) -> None:
    assert changed(present()) == {}
    (committed / "params.yaml").write_text(TEXT.replace("1e-3", "0.01") + "  new: 5\n", encoding="utf-8")
    assert changed(present()) == {"train.learning_rate": 0.01, "train.new": 5}


def test_without_a_commit_nothing_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert changed({"seed": 3}) == {}
    assert name_of("", {}) == "run"


@pytest.mark.parametrize(
    ("experiment", "changes", "name"),
    [
        ("brave-koel", {"seed": 1}, "brave-koel"),
        ("", {"train.learning_rate": 0.01, "build.depth": 18}, "learning_rate=0.01_depth=18"),
        ("", {"ingest.source": "/my photos/(2)\n\u202e"}, "source=-my-photos-2"),
        ("../../x", {}, "x"),
        ("", {"a.b": "c" * 99}, "b=" + "c" * 58),
        ("\u2603", {}, "run"),
    ],
)
def test_a_name_can_be_one_of_a_folder(experiment: str, changes: dict[str, Any], name: str) -> None:
    assert name_of(experiment, changes) == name


def test_without_changes_it_is_the_commit(committed: Path) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert commit.startswith(name_of("", {}))
