"""Files and folders that are there whole or not at all."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.files import replacing
from tests.imports import ROOT


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for text in ("one", "two"):
        with replacing(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("one", "two"):
        with replacing(folder) as partial:
            partial.mkdir()
            (partial / name).touch()
        assert [path.name for path in folder.iterdir()] == [name]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_is_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for process in (4_194_305, os.getpid()):  # the first one is more than proc(5) allows; the second one had our number
        (tmp_path / f".partial-{process}-folder").mkdir()
        (tmp_path / f".partial-{process}-folder" / "half").touch()
    with replacing(folder) as partial:
        partial.mkdir()
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_whose_replacement_was_cut_off_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (tmp_path / ".old-folder").mkdir()
    (tmp_path / ".old-folder" / "kept").touch()
    with pytest.raises(ValueError, match="stop"), replacing(folder):
        raise ValueError("stop")
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with replacing(folder) as partial:
        partial.mkdir()
        (partial / "old").touch()
    with pytest.raises(FileNotFoundError), replacing(folder) as partial:
        pass  # nothing was written
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 300, r"a\.\.\. cannot be written \(File name too long\); expected a path in a folder"),
        (f"{'a' * 300}/page.html", r"a\.\.\. cannot be written \(File name too long\)"),
        ("file/page.html", "file is no folder, but .*file/page.html is to be written there"),
        ("file/new/page.html", "file is no folder, but .*file/new/page.html is to be written there"),
        ("/proc/page.html", r"/proc/page.html cannot be written \(No such file or directory\)"),
        ("/proc/new/page.html", r"/proc/new/page.html cannot be written \(No such file or directory\)"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_sentence_before_any_work(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=why), replacing(tmp_path / name):
        pytest.fail("it was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_errors_of_the_system_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "file") as partial:
        partial.mkdir()
        partial.write_text("")


def test_what_is_renamed_is_on_the_disk_and_so_are_the_folders_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with replacing(tmp_path / "new" / "folder") as partial:
        partial.mkdir()
        (partial / "file").touch()
    new = f".partial-{os.getpid()}-folder"
    assert done == ["sync file", f"sync {new}", f"rename {new}", "sync new", f"sync {tmp_path.name}"]


def test_two_processes_that_write_one_file_each_give_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with replacing(path) as ours:
        ours.write_text("ours, half")
        with monkeypatch.context() as other:
            other.setattr(disk, "process", os.getppid)  # another process that is alive
            with replacing(path) as theirs:
                theirs.write_text("theirs")
            assert path.read_text() == "theirs"
        ours.write_text("ours")
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["folder", "old-folder"])
def test_two_processes_that_write_one_folder_each_give_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = tmp_path / "folder"
    ours = threading.current_thread()
    theirs = threading.Thread(target=lambda: written(folder, "theirs"))
    replace, remove_tree = Path.replace, disk.remove_tree
    written(folder, "old")

    def let_them_write() -> None:
        if threading.current_thread() is ours and not theirs.is_alive():
            theirs.start()
            theirs.join(0.3)  # they wait for us, so this changes nothing

    def replace_in_between(self: Path, target: Path) -> Path:
        replaced = replace(self, target)
        if step == "folder" and self == folder:
            let_them_write()
        return replaced

    def remove_in_between(path: Path) -> None:
        if step == "old-folder" and path.name == ".old-folder":
            let_them_write()
        remove_tree(path)

    monkeypatch.setattr(disk, "process", lambda: os.getpid() if threading.current_thread() is ours else os.getppid())
    monkeypatch.setattr(Path, "replace", replace_in_between)
    monkeypatch.setattr(disk, "remove_tree", remove_in_between)
    written(folder, "ours")
    theirs.join()
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [folder]


def written(folder: Path, name: str) -> None:
    with replacing(folder) as partial:
        partial.mkdir()
        (partial / name).touch()


@pytest.mark.parametrize(("days", "left"), [(2, []), (0, [".partial-folder"])])
def test_what_an_earlier_version_left_goes_when_nobody_can_be_writing_it(tmp_path: Path, days: int, left: list[str]) -> None:
    partial = tmp_path / ".partial-folder"
    partial.mkdir()
    (partial / "half").touch()
    os.utime(partial, (time.time() - days * 86_400 - 60,) * 2)
    written(tmp_path / "folder", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*left, "folder"]


def test_an_old_folder_is_removed_when_its_successor_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    done: list[str] = []
    sync, remove_tree = disk.sync, disk.remove_tree

    def note_sync(path: Path) -> None:
        done.append(f"sync {path.name}")
        sync(path)

    def note_remove(path: Path) -> None:
        done.append(f"remove {path.name}")
        remove_tree(path)

    monkeypatch.setattr(disk, "sync", note_sync)
    monkeypatch.setattr(disk, "remove_tree", note_remove)
    with replacing(folder) as partial:
        partial.mkdir()
    assert done == [f"sync {partial.name}", f"sync {tmp_path.name}", "remove .old-folder", f"sync {tmp_path.name}"]


def test_without_the_room_that_is_known_to_be_needed_nothing_is_begun(tmp_path: Path) -> None:
    sentence = r"file could not be written.*it needs at least 1,000,000,000,000,000,000 bytes, and [\d,]+ are free"
    with pytest.raises(UserError, match=sentence), replacing(tmp_path / "file", least=10**18):
        pytest.fail("it was begun")


# A limit on file sizes stands in for a full disk: the system refuses the write in the same place. It would cut the
# interpreter's own caches short as well, which is why these processes write none.
_LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.path.insert(0, sys.argv[1])
from resnet.core.errors import UserError
try:
    exec(sys.argv[3])
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "write",
    [
        "from resnet.core.files import replacing\nwith replacing(path) as partial: partial.write_bytes(bytes(200_000))",
        "import keras\nfrom resnet.network.model import ResNet\nfrom resnet.network.saving import save_model\n"
        "save_model(ResNet((32, 32, 3), 3, blocks=(1,), width=32), path)",
        "import numpy as np\nfrom resnet.dataset.arrays import SplitWriter\nfrom resnet.core.files import replacing\n"
        "with replacing(path) as partial:\n"
        "  with SplitWriter(partial, 99, 64) as writer:\n"
        "    for _ in range(99): writer.add(np.zeros((64, 64, 3), np.uint8), 0)",
        "import io, random\nfrom PIL import Image\nfrom resnet.ingestion.raw_data import write_raw\n"
        "from resnet.images.outcomes import Candidate\nfrom resnet.ingestion.sources.source import Source\n"
        "buffer = io.BytesIO(); Image.frombytes('RGB', (256, 256), random.Random(0).randbytes(196608)).save(buffer, 'PNG')\n"
        "files = [Candidate('a/1.png', 'a', buffer.getvalue)]\n"
        "write_raw(path, Source(['a', 'b'], lambda: iter(files)), max_pixels=10**6)",
    ],
    ids=["file", "model", "arrays", "shards"],
)
def test_a_full_disk_is_one_sentence_and_the_old_output_stays(tmp_path: Path, write: str) -> None:
    path = tmp_path / "output.keras"
    path.write_text("old")
    program = f"path = Path(sys.argv[2])\n{write}"
    result = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(ROOT), str(path), program],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": ""},
    )
    assert result.returncode == 0, result.stderr
    assert f"{path} could not be written because the disk is full" in result.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_sentence_is_for_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no partial file was left"), replacing(tmp_path / "file"):
        raise OSError(28, "No space left on device")


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/old").write_text("kept")
    with (
        pytest.raises(UserError, match="pages is a folder, but a file is to be written there"),
        replacing(tmp_path / "pages") as new,
    ):
        new.write_text("page")
    assert (tmp_path / "pages/old").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is no regular file"), replacing(tmp_path / "pipe"):
        raise AssertionError("not reached")
    assert (tmp_path / "pipe").is_fifo()
