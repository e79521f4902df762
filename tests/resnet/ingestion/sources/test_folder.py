"""Folders as sources, including hostile ones."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet.images.outcomes import BadFile, Candidate, Ignored, Outcome, Reason, Rejected
from resnet.ingestion.sources.folder import folder_source, read_file, walk
from tests.pictures import write_tree


def outcomes(folder: Path) -> dict[str, Outcome]:
    found = list(folder_source(folder).files())
    assert len({outcome.path for outcome in found}) == len(found)
    return {outcome.path: outcome for outcome in found}


def reason(outcome: Outcome) -> tuple[str, str]:
    assert isinstance(outcome, Rejected)
    return outcome.reason, outcome.detail


def test_files_come_with_their_class_in_a_fixed_order(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog/2.jpg": b"d", "cat/b/1.jpg": b"b", "cat/a.jpg": b"a", "Zoo/z.jpg": b"z", "cat/.DS_Store": b""})
    source = folder_source(tmp_path)
    assert source.classes == ["Zoo", "cat", "dog"]
    found = list(source.files())
    assert [file.path for file in found] == ["Zoo/z.jpg", "cat/.DS_Store", "cat/a.jpg", "cat/b/1.jpg", "dog/2.jpg"]
    assert found[1] == Ignored("cat/.DS_Store")
    candidates = [file for file in found if isinstance(file, Candidate)]
    assert [(file.label, file.read()) for file in candidates] == [("Zoo", b"z"), ("cat", b"a"), ("cat", b"b"), ("dog", b"d")]


def test_names_that_are_hard_to_write_are_names(tmp_path: Path) -> None:
    names = ["new\nline", 'quo"te', "comma,", "emoji 🐈", "x" * 251, "-rf", "$(id)", "<script>", "é", "e\u0301", "A", "a", " "]
    write_tree(tmp_path, {f"cat/{name}.jpg": b"1" for name in names})
    assert set(outcomes(tmp_path)) == {f"cat/{name}.jpg" for name in names}


def test_a_name_that_is_not_utf8_is_shown_and_rejected(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat/1.jpg": b"1", "dog/1.jpg": b"1"})
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xff\xfe.jpg"))).write_bytes(b"1")
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/c\xff"))
    write_tree(folder, {"1.jpg": b"1", "deeper/2.jpg": b"2"})
    found = outcomes(tmp_path)
    for path in (r"cat/\xff\xfe.jpg", r"c\xff/1.jpg", r"c\xff/deeper/2.jpg"):
        assert reason(found[path]) == ("name_not_usable", "a name that is not UTF-8")
    assert len(found) == 5


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    # The path of a socket is limited to about 100 bytes.
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def to_the_top(path: Path) -> None:
    path.symlink_to("..")


def to_a_sibling(path: Path) -> None:
    path.symlink_to("../dog")


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (fifo, "a FIFO, not a regular file"),
        (bound_socket, "a socket, not a regular file"),
        (dangling, "a link to nowhere, which cannot be reached"),
        (to_itself, "a link to x, which cannot be reached"),
        (to_the_top, "a link to a folder of the source itself or to a parent of it"),
        (to_a_sibling, "a link to a folder of the source itself or to a parent of it"),
    ],
)
def test_what_is_no_file_is_rejected_and_never_opened(tmp_path: Path, make: Callable[[Path], None], detail: str) -> None:
    write_tree(tmp_path, {"cat/1.jpg": b"1", "dog/1.jpg": b"1"})
    make(tmp_path / "cat" / "x")
    found = outcomes(tmp_path)
    assert set(found) == {"cat/1.jpg", "cat/x", "dog/1.jpg"}
    assert reason(found["cat/x"])[0] == "unreadable"
    assert reason(found["cat/x"])[1].startswith(detail)


def test_links_to_files_and_to_folders_elsewhere_are_followed_once(tmp_path: Path) -> None:
    write_tree(tmp_path, {"source/cat/1.jpg": b"1", "source/dog/1.jpg": b"2", "store/more/2.jpg": b"3", "store/3.jpg": b"4"})
    (tmp_path / "source" / "cat" / "link.jpg").symlink_to(tmp_path / "store" / "3.jpg")
    (tmp_path / "source" / "cat" / "linked").symlink_to(tmp_path / "store" / "more")
    (tmp_path / "source" / "dog" / "again").symlink_to(tmp_path / "store" / "more")
    (tmp_path / "store" / "more" / "loop").symlink_to(tmp_path / "store" / "more")
    found = outcomes(tmp_path / "source")
    read = {path: file.read() for path, file in found.items() if isinstance(file, Candidate)}
    assert read == {"cat/1.jpg": b"1", "cat/link.jpg": b"4", "cat/linked/2.jpg": b"3", "dog/1.jpg": b"2"}
    assert "which another link also points to" in reason(found["cat/linked/loop"])[1]
    assert "which another link also points to" in reason(found["dog/again"])[1]


def test_a_deep_tree_is_walked_to_its_end(tmp_path: Path) -> None:
    deep = "/".join("d" * 12)
    write_tree(tmp_path, {f"cat/{deep}/1.jpg": b"1", "dog/1.jpg": b"2"})
    found = outcomes(tmp_path)[f"cat/{deep}/1.jpg"]
    assert isinstance(found, Candidate)
    assert found.label == "cat"


def test_a_folder_that_cannot_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, {"cat/1.jpg": b"1", "dog/1.jpg": b"1"})
    scandir = os.scandir

    def refuse(path: Path) -> object:  # root can read all folders, whatever their permissions
        if path.name == "dog":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = [entry for entry in walk(tmp_path) if isinstance(entry, Rejected)]
    assert found == [Rejected("dog", Reason.UNREADABLE, "a folder that cannot be read (Permission denied)")]


def test_a_file_that_is_no_regular_one_or_gone_or_too_large_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadFile, match="unreadable: not a regular file"):
        read_file(tmp_path / "fifo")
    with pytest.raises(BadFile, match=r"unreadable: it cannot be read \(No such file or directory\)"):
        read_file(tmp_path / "gone")
    with pytest.raises(BadFile, match="unreadable: "):
        read_file(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**27 + 1)  # without a byte on the disk
    with pytest.raises(BadFile, match="too_large: 134,217,729 bytes; at most 134,217,728 are read"):
        read_file(tmp_path / "large")


def test_nothing_in_the_source_is_changed(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat/1.jpg": b"1", "dog/1.jpg": b"1"})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for file in folder_source(tmp_path).files():
        assert isinstance(file, Candidate)
        file.read()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
