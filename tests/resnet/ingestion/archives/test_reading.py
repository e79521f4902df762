"""Valid archives of all kinds, compared with what was packed. Hostile ones are in `test_zip.py` and `test_tar.py`."""

import random
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Rejected
from resnet.ingestion.archives.reading import Folder, Member, is_archive, read_archive
from tests.hostile.archives import ARCHIVES, crowd, read
from tests.hostile.expectation import IMAGE

KINDS = {"zip": "zip", "tar": "tar", "gztar": "tar.gz", "bztar": "tar.bz2", "xztar": "tar.xz"}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of class folders, one of them empty. Archives can be created beside it."""
    folder = tmp_path / "photographs"
    for name in ("cats/1.png", "cats/old/2.png", "dogs/été 3.png", "dogs/" + "n" * 150 + ".png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(random.Random(name).randbytes(3000))
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_holds_what_was_packed(kind: str, photographs: Path) -> None:
    path = Path(shutil.make_archive(str(photographs), kind, photographs))
    files, left, folders, refused = read(path)
    packed = {file.relative_to(photographs).as_posix(): file.read_bytes() for file in photographs.rglob("*") if file.is_file()}
    assert path.name == f"photographs.{KINDS[kind]}"
    assert (files, left, refused) == (packed, [], "")
    assert sorted(folders) == ["cats", "cats/old", "dogs", "empty"]


def test_there_are_at_least_forty_hostile_archives() -> None:
    assert sum(1 for hostile in ARCHIVES if hostile.refused or hostile.rejected) >= 40


def test_hostile_archives_write_nothing_and_need_little_memory(tmp_path: Path) -> None:
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    for made in ARCHIVES:
        made.write(here / made.file)
    before = tree(tmp_path)
    # VmHWM, in kB. ru_maxrss would be inherited from the parent process, which may have loaded TensorFlow.
    program = """
import re
from pathlib import Path
from resnet.ingestion.archives.reading import Member, read_archive
from resnet.images.outcomes import BadFile
from resnet.core.errors import UserError
for path in sorted(Path().iterdir()):
    try:
        for item in read_archive(path):
            try:
                item.read() if isinstance(item, Member) else None
            except BadFile:
                pass
    except UserError:
        pass
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], len(list(Path().iterdir())))
"""
    root = Path(__file__).parents[4]
    command = [sys.executable, "-B", "-c", program]
    ran = subprocess.run(command, cwd=here, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True)
    peak, archives = map(int, ran.stdout.split())
    assert archives == len(ARCHIVES)
    assert peak < 512 * 1024
    assert tree(tmp_path) == before


def peak_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# A set takes at most 5 x 16 bytes for an entry while it grows fourfold, and a digest is an object of 48 bytes. `zipfile` keeps
# 640 bytes of each entry.
@pytest.mark.parametrize(("name", "most"), [("x.zip", 900), ("x.tar", 160)])
def test_memory_grows_by_what_is_kept_of_a_name_and_no_more(name: str, most: int, tmp_path: Path) -> None:
    few, many = (crowd(tmp_path / f"{files}-{name}", files) for files in (1000, 9000))
    growth = peak_memory(lambda: sum(1 for _ in read_archive(many))) - peak_memory(lambda: sum(1 for _ in read_archive(few)))
    assert growth / 8000 < most


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_files_can_be_read_in_other_threads_and_after_the_end_of_the_archive(name: str, tmp_path: Path) -> None:
    members = [item for item in read_archive(crowd(tmp_path / name, 200)) if isinstance(item, Member)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda member: member.read(), members)) == {IMAGE}
    assert len(members) == 200


@pytest.mark.parametrize("kind", KINDS)
def test_reading_names_only_yields_the_same_names_in_the_same_order(kind: str, photographs: Path) -> None:
    path = Path(shutil.make_archive(str(photographs), kind, photographs))

    def names(items: Iterable[Member | Folder | Rejected]) -> list[str]:
        return [item.name for item in items if not isinstance(item, Rejected)]

    assert names(read_archive(path, contents=False)) == names(read_archive(path)) == names(read_archive(path))


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_never_crash_and_never_change_a_file_unnoticed(kind: str, photographs: Path) -> None:
    path = Path(shutil.make_archive(str(photographs), kind, photographs))
    whole, files = path.read_bytes(), read(path).files
    generator = random.Random(kind)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(generator.choice((1, 1, 3, 30))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        got = read(path)
        if kind == "zip" or (kind != "tar" and not got.refused):  # plain tar has no checksum of contents
            assert all(data in files.values() for data in got.files.values())


def test_an_archive_is_recognised_by_its_name_or_its_content(tmp_path: Path) -> None:
    photographs = crowd(tmp_path / "x.zip", 1)
    for name in ("X.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.txz"):
        (tmp_path / name).write_bytes(b"")
        assert is_archive(tmp_path / name), name
    disguised = photographs.rename(tmp_path / "photographs.data")
    (tmp_path / "labels.csv").write_text("path,label\n")
    (tmp_path / "folder.zip").mkdir()
    assert is_archive(disguised)
    assert not any(is_archive(tmp_path / name) for name in ("labels.csv", "folder.zip", "missing.zip"))
    with pytest.raises(UserError, match=r"photographs.data is a zip archive by its content, .*\.zip: rename it"):
        next(read_archive(disguised))


def test_an_archive_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing.tar could not be read"):
        next(read_archive(tmp_path / "missing.tar"))
