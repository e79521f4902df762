"""The folders with what is seen of training runs."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tasks.training.seen import (
    RECORD,
    folders,
    hide_from_git,
    id_of,
    make_folder,
    remove_folders,
    remove_old_folders,
    require_folder,
)

RUN, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def make(run: str, name: str, days: float = 0) -> Path:
    folder = make_folder(run, name)
    (folder / RECORD).touch()
    then = time.time() - days * 86400
    os.utime(folder / RECORD, (then, then))
    return folder


def test_a_run_has_one_folder_in_the_project_whatever_its_name(project: Path) -> None:
    assert make(RUN, "hot") == project / "live" / "hot-01234567"
    assert make(RUN, "cold") == project / "live" / "hot-01234567"
    assert make(OTHER, "hot") == project / "live" / "hot-fedcba98"
    assert sorted(folders()) == [project / "live" / "hot-01234567", project / "live" / "hot-fedcba98"]
    assert list(folders(OTHER)) == [project / "live" / "hot-fedcba98"]


def test_git_does_not_see_them(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    make(RUN, "hot")
    for left in (b"", b"\0\0"):  # as a full disk left it, or a power cut
        (project / "live" / ".gitignore").write_bytes(left)
        hide_from_git()
        assert (project / "live" / ".gitignore").read_text() == "*\n"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, check=True, capture_output=True, text=True)
    assert status.stdout == ""


def test_a_removed_run_leaves_nothing_and_old_ones_go(project: Path) -> None:
    make(RUN, "hot")
    kept, old = make(OTHER, "cold", days=13), make("aaaaaaaaaaaaaaaa", "old", days=15)
    remove_folders(RUN)
    assert sorted(folders()) == [kept, old]
    remove_old_folders()
    assert list(folders()) == [kept]


def test_other_folders_there_are_left_alone(project: Path) -> None:
    (project / "live" / "mine-01234567").mkdir(parents=True)
    remove_folders(RUN)
    remove_old_folders()
    assert (project / "live" / "mine-01234567").is_dir()


def test_a_gitignore_of_a_person_is_left_alone_and_a_full_disk_leaves_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(RUN, "hot")
    with monkeypatch.context() as full:
        full.setattr(Path, "replace", _no_space)
        with pytest.raises(UserError, match="No space"):
            hide_from_git()
    assert [path.name for path in (project / "live").iterdir()] == ["hot-01234567"]
    (project / "live" / ".gitignore").write_text("*.html\n")
    hide_from_git()
    assert (project / "live" / ".gitignore").read_text() == "*.html\n"


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_id_is_that_of_both_folders() -> None:
    assert id_of(Path("live/hot-cold-01234567")) == id_of(Path("checkpoints") / RUN) == "01234567"


@pytest.mark.parametrize("kind", ["nothing", "folder", "file", "dangling link"])
def test_a_file_in_the_place_of_the_folder_is_named(project: Path, kind: str) -> None:
    place = project / "live"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.touch()
    elif kind == "dangling link":
        place.symlink_to("nowhere")
    if kind in ("nothing", "folder"):
        require_folder()
    else:
        with pytest.raises(UserError, match="live is no folder, .*: move or rename it"):
            require_folder()
