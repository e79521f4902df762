"""Whether `data/raw/` and `data/prepared/` are what a run would use."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from commands.advice.named_source import named
from commands.advice.source import ingest_up_to_date, is_prepared, name_source, run_group
from resnet.core.errors import UserError
from tests.commands.advice.test_named_source import running
from tests.pictures import two_classes
from tests.project import Project


@pytest.fixture
def in_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project.folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    return project.folder


def test_a_source_outside_gets_its_full_path(in_project: Path, tmp_path: Path) -> None:
    outside, inside = two_classes(tmp_path / "my photos", 3), two_classes(in_project / "photos", 3)
    assert name_source(f"{outside}/") == str(outside)
    assert name_source(str(inside)) == "photos"
    assert name_source("builtin/digits") == "builtin/digits"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nothing", "SOURCE is nothing, but there is no such file or folder"),
        ("data/raw", "SOURCE is data/raw, but this pipeline writes data/raw itself"),
        ("", "SOURCE is empty: name a folder"),
        ("tfds:", "SOURCE is tfds:, .* write the name of a data set after it"),
    ],
)
def test_a_wrong_source_is_blamed_on_the_argument(source: str, sentence: str, in_project: Path) -> None:
    with pytest.raises(UserError, match=f"^{sentence}"):
        name_source(source)


def test_what_is_up_to_date_does_not_run(in_project: Path) -> None:
    assert ingest_up_to_date() is False


def test_data_are_prepared_if_both_stages_ran_with_these_values(in_project: Path) -> None:
    section: dict[str, Any] = YAML(typ="safe").load(Path("params.yaml"))["preprocess"]
    assert is_prepared(section)
    assert not is_prepared(section | {"image_size": 64})
    lock = Path("dvc.lock")
    tree = YAML(typ="safe").load(lock)
    tree["stages"]["ingest"]["outs"][0]["md5"] = "0" * 32 + ".dir"
    YAML(typ="safe").dump(tree, lock)
    assert not is_prepared(section)
    lock.unlink()
    assert not is_prepared(section)


def test_another_source_is_ingested(in_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = two_classes(tmp_path / "my photos (2)")
    ran: list[bool] = []
    monkeypatch.setattr("commands.advice.source._repro", lambda: ran.append(True))
    with named(name_source(str(photos))):
        assert ingest_up_to_date() is True
    assert ran == [True]


def test_nothing_is_ingested_under_a_run(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.advice.source._is_stale", lambda: True)
    monkeypatch.setattr("commands.advice.source._repro", lambda: pytest.fail("it ran"))
    running(os.getpid())
    with pytest.raises(UserError, match=rf"^a run is going on in this project \(PID {os.getpid()}\); ask again"):
        ingest_up_to_date()


def test_if_it_is_interrupted_no_process_of_the_group_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    wait = subprocess.Popen.wait

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(subprocess.Popen, "wait", wait)
        while not started.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_group(["sh", "-c", f"sleep 300 & echo $! >{started}.new; mv {started}.new {started}; wait"], {**os.environ})
    process = Path("/proc", started.read_text().strip(), "stat")
    assert not process.exists() or process.read_text().split()[2] == "Z"


def test_while_a_run_holds_the_lock_it_says_so(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.lock import LockError

    def locked(*_: object, **__: object) -> Callable[..., None]:
        raise LockError("held by (PID 17)")

    monkeypatch.setattr(Repo, "status", locked)
    with pytest.raises(UserError, match=r"a run is going on in this project \(PID 17\)"):
        ingest_up_to_date()
