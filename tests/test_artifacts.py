"""The model as an artifact: GTO registers versions of it and DVC fetches it, as `dvc.yaml` declares."""

import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tasks.stage.graph import read_graph, stage_paths
from tests.imports import ROOT

DECLARED = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]


def test_the_declared_artifact_is_an_output_of_train() -> None:
    assert list(DECLARED) == ["resnet"]
    outs = {"outs": read_graph(ROOT / "dvc.yaml")["train"]["outs"]}
    assert Path(DECLARED["resnet"]["path"]) in set(stage_paths(outs))


def test_a_version_can_be_registered_and_fetched(tmp_path: Path) -> None:
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    model = repository / DECLARED["resnet"]["path"]
    model.parent.mkdir(parents=True)
    elsewhere.mkdir()
    model.write_text("weights", "utf-8")
    author = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        **author,
        "PATH": programs,
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "DVC_NO_ANALYTICS": "1",
    }

    def run(folder: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(repository, "git", "init", "--quiet")
    run(repository, "dvc", "init", "--quiet")
    run(repository, "dvc", "add", "--quiet", str(model))
    with (repository / "dvc.yaml").open("w") as file:
        YAML().dump({"artifacts": DECLARED}, file)
    run(repository, "git", "add", "--all")
    run(repository, "git", "commit", "--quiet", "--message", "a model")
    run(repository, "gto", "register", "resnet")
    assert "resnet@v0.0.1" in run(repository, "git", "tag")
    run(elsewhere, "dvc", "artifacts", "get", str(repository), "resnet")
    assert (elsewhere / "resnet.keras").read_text("utf-8") == "weights"
