"""Files that are not what `dvc.lock` records, in the work tree and in DVC's cache."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands import verify as module

CONTENTS = {"model.bin": b"weights", "data/a.txt": b"a", "data/deep/b.txt": b"b"}


def store(content: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = cached(md5 + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5 + suffix


def cached(md5: str) -> Path:
    return Path("cache", "files", "md5", md5[:2], md5[2:])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project with one file and one folder of results, and their cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_cache_folder", lambda: Path("cache"))
    Path("dvc.yaml").touch()
    for name, content in CONTENTS.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    listing = [{"md5": store(CONTENTS[f"data/{name}"]), "relpath": name} for name in ("a.txt", "deep/b.txt")]
    outs = {"model.bin": store(CONTENTS["model.bin"]), "data": store(json.dumps(listing).encode(), ".dir")}
    stages = {"make": {"cmd": "true", "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()]}}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))  # JSON is YAML
    return tmp_path


def test_nothing_is_printed_if_nothing_is_damaged(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("verify")
    assert (result.exit_code, result.output) == (0, "")
    Path("model.bin").unlink()  # DVC restores what is missing
    assert train_resnet("verify").exit_code == 0


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_is_named_with_what_to_do(name: str, folder: Path, train_resnet: Callable[..., Result]) -> None:
    Path(name).write_bytes(b"?")
    result = train_resnet("verify")
    right, wrong = (hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (CONTENTS[name], b"?"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"{name} is not what was recorded (MD5: {wrong} instead of {right}): ")
    assert f"`rm -rf {name.partition('/')[0]}`" in result.stderr
    assert train_resnet("verify", "--cache").exit_code == 0


@pytest.mark.parametrize("name", CONTENTS)
def test_damage_in_the_cache_is_named(name: str, folder: Path, train_resnet: Callable[..., Result]) -> None:
    path = cached(hashlib.md5(CONTENTS[name], usedforsecurity=False).hexdigest())
    path.write_bytes(b"?")
    for options in ((), ("--cache",)):
        result = train_resnet("verify", *options)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"`rm -f '{path}'`" in result.stderr


def test_more_than_the_limit_is_not_read(folder: Path, train_resnet: Callable[..., Result]) -> None:
    Path("model.bin").write_bytes(b"?")
    with Path("data/a.txt").open("r+b") as file:
        file.truncate(2_000_000_000)
    assert train_resnet("verify", "--at-most", "1.9").stdout == (
        "2.0 GB were not verified; `train-resnet verify` reads them all.\n"
    )
    assert train_resnet("verify", "--cache", "--at-most", "1.9").output == ""


def test_a_lock_file_that_is_missing_or_cut_short(folder: Path, train_resnet: Callable[..., Result]) -> None:
    Path("dvc.lock").write_text('{"stages": {')
    assert train_resnet("verify").stderr == "verify: dvc.lock is cut short; `train-resnet repair` repairs it.\n"
    Path("dvc.lock").unlink()
    assert train_resnet("verify").stderr == "verify: there is no dvc.lock; `dvc repro` writes it.\n"
    assert train_resnet("verify", "--cache").exit_code == 0  # nothing has run yet
