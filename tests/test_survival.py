"""A quick tier of `make soak`: a SIGKILL in each stage but training, a full disk in each, flipped bits, torn files of DVC."""

from pathlib import Path

import pytest

from tests.soak.stages import flip_places, is_found
from tests.soak.small_project import SmallProject


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    made = SmallProject(tmp_path_factory.mktemp("survivor"))
    made.finish()
    return made


# The shares of the time are in the stage, not in DVC's start or in what DVC does after the command.
@pytest.mark.parametrize("stage", ["ingest", "preprocess", "build", "evaluate", "render"])
def test_after_a_sigkill_the_same_command_ends_in_the_same_hashes(survivor: SmallProject, stage: str) -> None:
    survivor.kill_in(stage, 0.7, group=stage != "render")
    assert survivor.recovers() == ""


@pytest.mark.parametrize("point", ["torn-lock", "empty-rwlock"])
def test_nor_does_one_between_command_and_commit_matter(survivor: SmallProject, point: str) -> None:
    assert survivor.kill_between("ingest", point)
    assert survivor.recovers(check=True) == ""


# Of models, and of each way to write, see tests/resnet/test_files.py.
@pytest.mark.parametrize("stage", ["ingest", "preprocess", "render"])
def test_a_full_disk_is_a_sentence_and_the_old_outputs_stay(survivor: SmallProject, stage: str) -> None:
    before = survivor.contents(stage)
    result = survivor.run_stage(stage, most=200)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith(f"{stage}: ")
    assert "could not be written because the disk is full" in result.stderr
    assert "it needs at least" in result.stderr
    assert survivor.contents(stage) == before
    assert survivor.litter() == []


def test_flipped_bits_are_found_before_use(survivor: SmallProject) -> None:
    for name, (path, use) in flip_places(survivor).items():
        use()
        size = path.stat().st_size
        for bit in (0, 8 * size // 2, 8 * size - 1):
            assert is_found(path, bit, use), f"bit {bit} of {name}"
        use()


def test_a_stage_refuses_an_input_with_a_flipped_bit(survivor: SmallProject) -> None:
    path = survivor.folder / "data/raw/images-00000.parquet"

    def use() -> None:
        result = survivor.run_stage("preprocess")
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        raise_if(result.stderr.startswith("preprocess: data/raw/images-00000.parquet is damaged"))

    assert is_found(path, 8 * 200, use)


def raise_if(found: bool) -> None:
    from resnet.core.errors import UserError

    if found:
        raise UserError("found")


def test_verify_names_what_to_do(survivor: SmallProject) -> None:
    page = survivor.folder / "reports/index.html"
    survivor.run("python", "-m", "commands.verify")

    def use() -> None:
        shown = survivor.run("python", "-m", "commands.verify", code=1).stderr
        raise_if("reports/index.html is not what was recorded" in shown and "`rm -rf reports/index.html`" in shown)

    assert is_found(page, 77, use)
    digest = survivor.hashes()["reports/index.html"]
    kept = survivor.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]

    def restore() -> None:
        shown = survivor.run("python", "-m", "commands.verify", "--cache", "--at-most", "4", code=1).stderr
        raise_if(f"`rm -f '{kept}'`" in shown and shown.count("\n") == 1)

    assert is_found(kept, 77, restore)
    page.write_text("of another commit")  # which is no decay
    survivor.run("python", "-m", "commands.verify", "--cache", "--at-most", "4")
    page.write_bytes(kept.read_bytes())
    assert "were not verified" in survivor.run("python", "-m", "commands.verify", "--at-most", "0").stdout


def test_a_remote_that_sends_something_else_is_found_out(survivor: SmallProject, tmp_path: Path) -> None:
    survivor.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    assert "verifies what it gets from the remote 'storage'" in survivor.run("python", "-m", "commands.check").stdout
    survivor.run("dvc", "push", "--quiet", "reports/index.html")
    digest = survivor.hashes()["reports/index.html"]
    for place in (tmp_path / "remote/files/md5", survivor.folder / ".dvc/cache/files/md5"):
        kept = place / digest[:2] / digest[2:]
        content = kept.read_bytes()
        kept.chmod(0o644)
        if "remote" in str(place):
            kept.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        else:
            kept.unlink()
    page = survivor.folder / "reports/index.html"
    page.unlink()
    survivor.run("dvc", "pull", "reports/index.html", code=1)
    assert not page.exists()
    page.write_bytes(content)
    survivor.run("dvc", "commit", "--force", "--quiet", "render")
    survivor.run("dvc", "remote", "remove", "storage")
    survivor.run("dvc", "status")
