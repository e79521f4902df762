"""A short version of `make soak`: SIGKILL, a full disk, flipped bits, DVC's files cut short, and a power cut."""

from pathlib import Path

import pytest

from resnet.core.files import replacing
from tests.soak.cut_disk import SETTINGS, CutDisk, can_cut
from tests.soak.small_project import SmallProject
from tests.soak.stages import flip_places, is_found

VERIFY = ("python", "-m", "commands", "verify")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    made = SmallProject(tmp_path_factory.mktemp("small"))
    made.finish()
    return made


# 0.7 of the duration is within the stage's command, not in DVC's start or in its work after the command.
@pytest.mark.parametrize("stage", ["ingest", "preprocess", "build", "evaluate", "render"])
def test_after_a_sigkill_the_same_command_gives_the_same_hashes(small: SmallProject, stage: str) -> None:
    small.kill_in(stage, 0.7, group=stage != "render")
    assert small.recovers() == ""


@pytest.mark.parametrize("point", ["torn-lock", "empty-rwlock"])
def test_after_a_sigkill_to_dvc_the_same_command_gives_the_same_hashes(small: SmallProject, point: str) -> None:
    assert small.kill_between("ingest", point)
    assert small.recovers(check=True) == ""


# For models, and for each way to write a file, see tests/resnet/core/test_files.py.
@pytest.mark.parametrize("stage", ["ingest", "preprocess", "render"])
def test_a_full_disk_is_reported_in_one_sentence_and_the_old_outputs_stay(small: SmallProject, stage: str) -> None:
    before = small.contents(stage)
    result = small.run_stage(stage, most=200)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith(f"{stage}: ")
    assert "could not be written because the disk is full" in result.stderr
    assert "it needs at least" in result.stderr
    assert small.contents(stage) == before
    assert small.leftovers() == []


def test_flipped_bits_are_detected_before_use(small: SmallProject) -> None:
    for name, (path, use) in flip_places(small).items():
        use()
        size = path.stat().st_size
        for bit in (0, 8 * size // 2, 8 * size - 1):
            assert is_found(path, bit, use), f"bit {bit} of {name}"
        use()


def test_a_stage_refuses_an_input_with_a_flipped_bit(small: SmallProject) -> None:
    path = small.folder / "data/raw/images-00000.parquet"

    def use() -> None:
        result = small.run_stage("preprocess")
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        raise_if(result.stderr.startswith("preprocess: data/raw/images-00000.parquet is damaged"))

    assert is_found(path, 8 * 200, use)


def raise_if(found: bool) -> None:
    from resnet.core.errors import UserError

    if found:
        raise UserError("found")


def test_verify_names_the_file_and_the_command_that_restores_it(small: SmallProject) -> None:
    page = small.folder / "reports/index.html"
    small.run(*VERIFY)

    def use() -> None:
        shown = small.run(*VERIFY, code=1).stderr
        raise_if("reports/index.html is not what was recorded" in shown and "`rm -rf reports/index.html`" in shown)

    assert is_found(page, 77, use)
    digest = small.hashes()["reports/index.html"]
    kept = small.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]

    def restore() -> None:
        shown = small.run(*VERIFY, "--cache", "--at-most", "4", code=1).stderr
        raise_if(f"`rm -f '{kept}'`" in shown and shown.count("\n") == 1)

    assert is_found(kept, 77, restore)
    page.write_text("of another commit")  # a changed output does not make the cache damaged
    small.run(*VERIFY, "--cache", "--at-most", "4")
    assert "reports/index.html is not what was recorded" in (shown := small.run(*VERIFY, code=1).stderr)
    assert "`dvc repro` replaces it; keep a copy before, if you changed it yourself" in shown  # DVC knows this change
    page.write_bytes(kept.read_bytes())
    assert "were not verified" in small.run(*VERIFY, "--at-most", "0").stdout


def test_damaged_content_from_a_remote_is_refused(small: SmallProject, tmp_path: Path) -> None:
    small.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    assert "verifies what it gets from the remote 'storage'" in small.run("python", "-m", "commands", "check").stdout
    small.run("dvc", "push", "--quiet", "reports/index.html")
    digest = small.hashes()["reports/index.html"]
    for place in (tmp_path / "remote/files/md5", small.folder / ".dvc/cache/files/md5"):
        kept = place / digest[:2] / digest[2:]
        content = kept.read_bytes()
        kept.chmod(0o644)
        if "remote" in str(place):
            kept.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        else:
            kept.unlink()
    page = small.folder / "reports/index.html"
    page.unlink()
    small.run("dvc", "pull", "reports/index.html", code=1)
    assert not page.exists()
    shown = small.run(*VERIFY, code=1).stderr
    assert f"reports/index.html is missing; DVC's cache does not have files/md5/{digest[:2]}/{digest[2:]}: " in shown
    page.write_bytes(content)
    small.run("dvc", "commit", "--force", "--quiet", "render")
    small.run("dvc", "remote", "remove", "storage")
    small.run("dvc", "status")


def test_what_was_replaced_survives_a_power_cut_and_what_was_only_renamed_does_not(tmp_path: Path) -> None:
    if not can_cut():
        pytest.skip("mounting a disk needs root, a loop device and mkfs.ext4")
    disk = CutDisk(tmp_path / "image", tmp_path / "disk", 8)
    disk.mount(SETTINGS[1])
    try:
        for content in (b"first" * 1000, b"second" * 1000):
            with replacing(disk.folder / "new" / "kept") as partial:
                partial.write_bytes(content)
        (disk.folder / "new" / "partial").write_bytes(b"third" * 1000)
        (disk.folder / "new" / "partial").rename(disk.folder / "new" / "lost")
        disk.cut()
        disk.unmount()
        disk.mount()
        assert (disk.folder / "new" / "kept").read_bytes() == b"second" * 1000
        assert not (disk.folder / "new" / "lost").exists() or (disk.folder / "new" / "lost").read_bytes() != b"third" * 1000
        disk.unmount()
    finally:
        disk.close()
