"""Files that are not what `dvc.lock` records, in the work tree and in DVC's cache, and outputs that are missing."""

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands import repair
from commands import verify as module
from commands.verify import object_key
from resnet.core.errors import UserError

CONTENTS = {"model.bin": b"weights", "data/a.txt": b"a", "data/deep/b.txt": b"b"}
GRAPH = {"stages": {"make": {"cmd": "true", "outs": ["data", "model.bin"], "metrics": [{"metrics.json": {"cache": False}}]}}}


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
    monkeypatch.setattr(module, "_changed_outputs", lambda: {"model.bin"})
    Path("dvc.yaml").write_text(json.dumps(GRAPH))
    for name, content in CONTENTS.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    listing = [{"md5": store(CONTENTS[f"data/{name}"]), "relpath": name} for name in ("a.txt", "deep/b.txt")]
    outs = {"model.bin": store(CONTENTS["model.bin"]), "data": store(json.dumps(listing).encode(), ".dir")}
    stages = {"make": {"cmd": "true", "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()]}}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}) + "\n")  # JSON is YAML
    return tmp_path


def test_a_line_says_that_nothing_is_damaged(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("verify")
    assert result.exit_code == 0
    # Three files in the work tree; three and the list of the folder in the cache.
    assert result.output == "verify: 7 files of the outputs and of DVC's cache were verified; none is damaged or missing.\n"
    assert train_resnet("verify", "--cache").output == ""


def hash_of(name: str) -> str:
    return hashlib.md5(CONTENTS[name], usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("in_cache", [True, False])
def test_a_missing_output_is_named_with_the_next_command(
    in_cache: bool, folder: Path, train_resnet: Callable[..., Result]
) -> None:
    Path("model.bin").unlink()
    Path("data/deep/b.txt").unlink()
    if not in_cache:  # as after a failed pull
        cached(hash_of("model.bin")).unlink()
        cached(hash_of("data/deep/b.txt")).unlink()
    result = train_resnet("verify", "--at-most", "0")
    assert result.exit_code == 1
    first, second, *more = result.stderr.splitlines()
    for line, what, name in (
        (first, "model.bin is missing", "model.bin"),
        (second, "1 of 2 files in data is missing, namely data/deep/b.txt", "data/deep/b.txt"),
    ):
        digest = hash_of(name)
        pull = f"{what}; DVC's cache does not have files/md5/{digest[:2]}/{digest[2:]}: run `dvc pull`, or `dvc repro`, "
        checkout = f"{what}: run `dvc checkout {name.partition('/')[0]}`, "
        assert line.startswith(checkout if in_cache else pull)
    assert [line.startswith("If `dvc pull` does not bring such an object") for line in more] == [True] * (not in_cache)
    assert train_resnet("verify", "--cache").exit_code == 0  # `make repro` goes on in a new clone


@pytest.fixture
def many(folder: Path) -> list[str]:
    """Outputs that are missing from the work tree, as after a pull that failed; the cache has them."""
    lock = json.loads(Path("dvc.lock").read_text())
    names = [f"report-{number}.html" for number in range(14)]
    lock["stages"]["make"]["outs"] += [{"path": name, "md5": store(name.encode())} for name in names]
    Path("dvc.lock").write_text(json.dumps(lock) + "\n")
    return names


def test_many_missing_outputs_share_a_sentence_behind_the_cause(many: list[str], train_resnet: Callable[..., Result]) -> None:
    cached(hash_of("model.bin")).unlink()
    Path("model.bin").unlink()
    cause, others, advice = train_resnet("verify").stderr.splitlines()
    digest = hash_of("model.bin")
    assert cause == (
        f"model.bin is missing; DVC's cache does not have files/md5/{digest[:2]}/{digest[2:]}: run `dvc pull`, or `dvc repro`, "
        "which makes what is missing again."
    )
    one = "report-0.html is missing; 13 more outputs are missing or incomplete too"
    assert others.startswith(f"{one}: run `dvc checkout report-0.html report-1.html ")
    assert others.endswith(
        f" {many[-1]}`, which takes what is missing from DVC's cache, or `dvc repro`, if a run was interrupted."
    )
    assert advice.startswith("If `dvc pull` does not bring such an object")


def test_a_new_clone_is_one_sentence(many: list[str], train_resnet: Callable[..., Result]) -> None:
    for path in Path("cache").rglob("*"):
        if path.is_file():
            path.unlink()
    first, _ = train_resnet("verify").stderr.splitlines()
    assert "13 more outputs are missing or incomplete too: run `dvc pull`, or `dvc repro`" in first


def test_many_damaged_files_of_an_output_are_two_sentences(folder: Path, train_resnet: Callable[..., Result]) -> None:
    names = [f"{number}.txt" for number in range(9)]
    listing = [{"md5": store(name.encode()), "relpath": name} for name in names]
    outs = [{"path": "data", "md5": store(json.dumps(listing).encode(), ".dir")}]
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"make": {"cmd": "true", "outs": outs}}}) + "\n")
    for name in names:
        Path("data", name).write_text("?")
    first, second = train_resnet("verify").stderr.splitlines()
    assert first.startswith("data/0.txt is not what was recorded (MD5: ")
    assert first.endswith("run `rm -rf data`, and `dvc repro` restores it.")
    assert second == "8 more files in data are not what was recorded either: the same command is for all of them."


def test_a_folder_whose_list_is_missing_is_named(folder: Path, train_resnet: Callable[..., Result]) -> None:
    for path in Path("cache").rglob("*.dir"):
        path.unlink()
    Path("data/a.txt").write_bytes(b"?")
    result = train_resnet("verify")
    assert result.exit_code == 1
    assert result.stderr.startswith("data was not verified; DVC's cache does not have files/md5/")
    assert "run `dvc pull`, or `dvc repro`" in result.stderr
    Path("data/a.txt").write_bytes(CONTENTS["data/a.txt"])
    Path("data/more.txt").touch()
    assert train_resnet("verify").stderr == result.stderr


def test_a_folder_is_complete_if_its_files_give_the_list_that_is_missing(
    folder: Path, train_resnet: Callable[..., Result]
) -> None:
    (lost,) = Path("cache").rglob("*.dir")
    lost.unlink()
    result = train_resnet("verify")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"DVC's cache does not have 1 file of data, namely {lost.relative_to('cache')}, so `dvc push` and `dvc checkout` "
        "cannot bring it: run `dvc commit`, which takes it from this folder; "
    )
    assert "was not verified" in train_resnet("verify", "--at-most", "1").stderr  # its files were not to be read


@pytest.fixture
def unpushed(folder: Path) -> None:
    """The file of the project is not pushed."""
    graph = json.loads(Path("dvc.yaml").read_text())
    graph["stages"]["make"]["outs"] = ["data", {"model.bin": {"push": False}}]
    Path("dvc.yaml").write_text(json.dumps(graph))


@pytest.mark.usefixtures("unpushed")
def test_what_is_not_pushed_is_not_to_be_pulled(train_resnet: Callable[..., Result]) -> None:
    data = [out["md5"] for out in module.recorded_outputs(Path("dvc.lock")) if out["path"] == "data"]
    assert module.pushed_outputs(Path()) == data
    cached(hash_of("model.bin")).unlink()
    result = train_resnet("verify")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "so `dvc checkout` cannot bring it: run `dvc commit`, " in result.stderr
    Path("model.bin").unlink()
    assert train_resnet("verify").stderr == (
        f"model.bin is missing; DVC's cache does not have {object_key(hash_of('model.bin'))}: run `dvc repro`, which makes it "
        "again; it has `push: false`, so no remote has it.\n"
    )


def test_what_git_keeps_comes_from_git(folder: Path, train_resnet: Callable[..., Result]) -> None:
    lock = json.loads(Path("dvc.lock").read_text())
    lock["stages"]["make"]["outs"].append({"path": "metrics.json", "md5": "0" * 32})
    Path("dvc.lock").write_text(json.dumps(lock) + "\n")
    assert train_resnet("verify").stderr == (
        "metrics.json is missing: run `git checkout metrics.json`, or `dvc repro`, which makes what is missing again.\n"
    )


@pytest.mark.parametrize("limit", ["nan", "-1"])
def test_a_limit_that_is_none_is_refused(limit: str, folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("verify", "--at-most", limit)
    assert (result.exit_code, f"must be 0 or more, but it is {limit}" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_is_named_with_what_to_do(name: str, folder: Path, train_resnet: Callable[..., Result]) -> None:
    Path(name).write_bytes(b"?")
    result = train_resnet("verify")
    right, wrong = (hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (CONTENTS[name], b"?"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"{name} is not what was recorded (MD5: {wrong} instead of {right}): ")
    assert ("`dvc repro` replaces it; keep a copy before" in result.stderr) == (name == "model.bin")  # DVC knows this change
    assert ("run `rm -rf data`, and `dvc repro` restores it" in result.stderr) == (name != "model.bin")
    assert train_resnet("verify", "--cache").exit_code == 0


@pytest.mark.parametrize("name", CONTENTS)
def test_damage_in_the_cache_is_named(name: str, folder: Path, train_resnet: Callable[..., Result]) -> None:
    path = cached(hashlib.md5(CONTENTS[name], usedforsecurity=False).hexdigest())
    path.write_bytes(b"?")
    for options in ((), ("--cache",)):
        result = train_resnet("verify", *options)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"`rm -f '{path}'`" in result.stderr


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["model.bin"],
            "1 file of model.bin, namely {}, so `dvc push` and `dvc checkout` cannot bring it: run `dvc commit`, ",
        ),
        (["data/a.txt"], "1 file of data, namely {}, so "),
        (["data/a.txt", "data/deep/b.txt", "model.bin"], "3 files of model.bin, data, such as {}, so "),
    ],
)
def test_what_only_the_work_tree_has_is_named(
    names: list[str], said: str, folder: Path, train_resnet: Callable[..., Result]
) -> None:
    for name in names:
        cached(hash_of(name)).unlink()
    result = train_resnet("verify")
    first = object_key(hash_of("model.bin" if "model.bin" in names else names[0]))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"DVC's cache does not have {said.format(first)}")
    assert result.stderr.endswith("answer n and run `dvc repro`.\n")  # `dvc commit` would record old outputs as new ones
    assert train_resnet("verify", "--cache").exit_code == 0


def test_what_is_damaged_is_not_to_be_committed(folder: Path, train_resnet: Callable[..., Result]) -> None:
    cached(hash_of("data/a.txt")).unlink()
    Path("data/a.txt").write_bytes(b"?")
    assert "dvc commit" not in train_resnet("verify").stderr


def test_more_than_the_limit_is_not_read(folder: Path, train_resnet: Callable[..., Result]) -> None:
    Path("model.bin").write_bytes(b"?")
    with Path("data/a.txt").open("r+b") as file:
        file.truncate(2_000_000_000)
    assert train_resnet("verify", "--at-most", "1.9").stdout == (
        "2.0 GB were not verified; `train-resnet verify` reads them all.\n"
    )
    assert train_resnet("verify", "--cache", "--at-most", "1.9").output == ""


def test_a_lock_file_that_is_missing_or_cut_short(folder: Path, train_resnet: Callable[..., Result]) -> None:
    text = Path("dvc.lock").read_text()
    for cut in (text.rstrip("\n"), '{"stages": {'):
        Path("dvc.lock").write_text(cut)
        assert train_resnet("verify").stderr == "verify: dvc.lock is cut short; `train-resnet repair` repairs it.\n"
    Path("dvc.lock").unlink()
    assert train_resnet("verify").stderr == "verify: there is no dvc.lock; `dvc repro` writes it.\n"
    assert train_resnet("verify", "--cache").exit_code == 0  # nothing has run yet


@pytest.mark.parametrize("md5", ["../../../../etc/passwd", "", None])
def test_a_hash_that_is_none_is_refused(folder: Path, train_resnet: Callable[..., Result], md5: str | None) -> None:
    lock = json.loads(Path("dvc.lock").read_text())
    lock["stages"]["make"]["outs"][0]["md5"] = md5
    Path("dvc.lock").write_text(json.dumps(lock) + "\n")
    result = train_resnet("verify")
    assert result.exit_code == 1
    advice = "if `dvc repro` is running, wait until it ends; otherwise `git checkout dvc.lock` restores"
    assert result.stderr.startswith(f"verify: dvc.lock has no valid MD5 for model.bin: {advice} the committed version, without")


@pytest.mark.usefixtures("folder")
def test_a_conflict_is_named_as_one() -> None:
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(f"<<<<<<< HEAD\n{text}\n=======\n{text}\n>>>>>>> other\n")
    with pytest.raises(UserError, match="dvc.lock has the marks of a merge conflict: take one side with"):
        module.recorded_outputs(Path("dvc.lock"))


@pytest.mark.usefixtures("folder")
def test_the_lock_file_is_not_read_while_dvc_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_SECONDS", 0.1)
    Path(".dvc/tmp").mkdir(parents=True, exist_ok=True)
    with Path(".dvc/tmp/lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"lock has been held for 0 s by another process of DVC, .+ wait for it"):
            module.recorded_outputs(Path("dvc.lock"))
    assert module.recorded_outputs(Path("dvc.lock"))


def test_names_are_printed_with_escapes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    monkeypatch.setattr(module, "find_missing", lambda *_: ["data/\x1b[2J\u202e is missing"])
    assert train_resnet("verify").stderr == "data/\\x1b[2J\\u202e is missing\n"
