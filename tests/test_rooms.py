"""A file's folder says which stages an edit of it runs: tried by editing the file and asking DVC."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dvc.repo import Repo

from tests.project import METRICS, STAGES, Project

EDITS = {
    "resnet/core/files.py": STAGES,
    "tasks/stage/params.py": STAGES,
    "resnet/ingestion/ledger.py": ["ingest"],
    "resnet/images/decoding.py": ["ingest", "preprocess"],
    "resnet/preparation/splits.py": ["preprocess"],
    "resnet/dataset/arrays.py": ["preprocess", "train", "evaluate"],
    "resnet/pretrained.py": ["build"],
    "resnet/network/blocks.py": ["build", "train", "evaluate"],
    "resnet/training/loop.py": ["train"],
    "tasks/training/runs.py": ["train"],
    "resnet/evaluation/metrics.py": ["evaluate"],
    "resnet/pictures/report.html": ["render"],
    "tasks/report/data.py": ["render"],
    **{f"tasks/{stage}.py": [stage] for stage in STAGES},
    "commands/predict.py": [],
    "flows/serve.py": [],
    "resnet/comparison/page.py": [],
    "resnet/export/formats.py": [],
    "resnet/prediction/prediction.py": [],
    "README.md": [],
}


@contextmanager
def edited(project: Project, path: str) -> Iterator[None]:
    """A comment more at the end of a file, while the block lasts."""
    file = project.folder / path
    before = file.read_bytes()
    file.write_bytes(before + b"\n# edited\n")
    try:
        yield
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("path", EDITS)
def test_an_edit_changes_the_stages_that_depend_on_its_folder(project: Project, path: str) -> None:
    with edited(project, path), Repo(str(project.folder)) as repo:
        status = repo.status()
    changed = {
        name.rpartition(":")[2]  # of a stage, after the path of its dvc.yaml
        for name, entries in status.items()
        if any("changed deps" in entry for entry in entries if isinstance(entry, dict))
    }
    assert [stage for stage in STAGES if stage in changed] == EDITS[path]


def test_pythons_caches_are_no_change(project: Project) -> None:
    (project.folder / "resnet/network/__pycache__").mkdir(exist_ok=True)
    (project.folder / "resnet/network/__pycache__/more.cpython-311.pyc").write_bytes(b"\0")
    with Repo(str(project.folder)) as repo:
        assert repo.status() == {}


def test_an_edit_of_the_pictures_runs_render_alone(project: Project) -> None:
    with edited(project, "resnet/pictures/report.py"):
        assert project.repro() == ["render"]


def test_an_edit_of_the_network_runs_build_and_what_follows(project: Project) -> None:
    with edited(project, "resnet/network/blocks.py"):
        # The bytes of the model are the same, so render has nothing new to draw.
        assert project.repro() == ["build", "train", "evaluate"]


def test_an_edit_of_a_command_runs_nothing(project: Project) -> None:
    with edited(project, "commands/predict.py"):
        assert project.repro() == []


def test_experiments_are_a_table_that_can_be_read(project: Project) -> None:
    project.run("dvc", "exp", "run", "--name", "sharper", "-S", "render.dpi=70")
    columns = project.run("dvc", "exp", "show", "--csv").stdout.splitlines()[0].split(",")
    first = columns.index("accuracy")
    assert columns[first : first + len(METRICS)] == METRICS
    assert columns[first + len(METRICS)] == "seed"
    # DVC prints every path that a stage depends on, after the metrics and parameters.
    paths = [column for column in columns if "/" in column]
    assert columns[-len(paths) :] == paths
    assert len(paths) < 40
    differing = project.run("dvc", "exp", "show", "--csv", "--only-changed", "--drop", ".*/").stdout.splitlines()[0]
    assert differing == "Experiment,rev,typ,Created,render.dpi"
