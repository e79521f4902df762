"""Whether `data/raw/` and `data/prepared/` are what a run would use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from commands.advice.source import ingest_up_to_date, is_prepared, name_source
from resnet.core.errors import UserError
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
    with pytest.raises(UserError, match=r"ingest.source is nothing, but there is no such file or folder"):
        name_source("nothing")


def test_what_is_up_to_date_does_not_run(in_project: Path) -> None:
    before = Path("params.yaml").read_bytes()
    assert ingest_up_to_date(None) is False
    assert ingest_up_to_date("builtin/digits") is False
    assert Path("params.yaml").read_bytes() == before


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


def test_another_source_is_ingested_and_named_in_the_parameters(
    in_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = two_classes(tmp_path / "my photos (2)")
    ran: list[bool] = []
    monkeypatch.setattr("commands.advice.source._repro", lambda: ran.append(True))
    assert ingest_up_to_date(name_source(str(photos))) is True
    assert ran == [True]
    params = Path("params.yaml").read_text("utf-8")
    assert YAML(typ="safe").load(params)["ingest"]["source"] == str(photos)
    assert "# builtin/digits, a folder, an archive" in params


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt()])
def test_after_a_failure_the_parameters_are_as_before(
    error: BaseException, in_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path("params.yaml").read_bytes()

    def fail() -> None:
        raise error

    monkeypatch.setattr("commands.advice.source._repro", fail)
    with pytest.raises(type(error)):
        ingest_up_to_date(str(two_classes(tmp_path / "photos")))
    assert Path("params.yaml").read_bytes() == before


def test_while_a_run_holds_the_lock_it_says_so(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.lock import LockError

    def locked(*_: object, **__: object) -> Callable[..., None]:
        raise LockError("held by (PID 17)")

    monkeypatch.setattr(Repo, "status", locked)
    with pytest.raises(UserError, match=r"a run is going on in this project \(PID 17\)"):
        ingest_up_to_date(None)
