"""The results of revisions and of the work tree."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands.compare import compare_results
from commands.results import RevisionResults
from resnet.core.errors import UserError
from tests.commands.revisions import ANSWERS, git
from tests.s3_store import BUCKET, Fault, Store

pytestmark = pytest.mark.usefixtures("in_revisions")


def test_the_work_tree_has_results_too() -> None:
    assert compare_results(RevisionResults("second"), RevisionResults("workspace")).paired.gained == 0
    assert compare_results(RevisionResults("first"), RevisionResults("workspace")).paired.lost == 2


def test_a_commit_can_be_named_by_its_hash() -> None:
    commit = RevisionResults("second").commit
    assert commit is not None
    assert str(RevisionResults(commit[:8])) == commit[:8]
    assert compare_results(RevisionResults(commit[:8]), RevisionResults("second")).paired.difference == 0


def test_results_that_dvc_no_longer_has_are_named() -> None:
    text = "path,label,predicted,probability\n" + "".join(f"{path}x,{a},{b},0.75\n" for path, (a, b) in ANSWERS.items())
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    cached = Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]
    kept = cached.read_bytes()
    cached.unlink()
    try:
        with pytest.raises(UserError, match=r"predictions.csv of other is neither in DVC's cache nor in a reachable remote"):
            compare_results(RevisionResults("first"), RevisionResults("other"))
    finally:
        cached.write_bytes(kept)


def test_a_remote_that_refuses_them_is_one_sentence(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(".", tmp_path / "clone", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path / "clone")
    with Path(".dvc/config").open("a") as file:
        file.write(f"    remote = a\n['remote \"a\"']\n    url = s3://{BUCKET}/a\n    endpointurl = {store.url}\n")
    git("add", "--force", ".dvc/config")
    git("commit", "--quiet", "--message", "a remote")
    with store.failing(Fault("AccessDenied", count=10**6)), pytest.raises(UserError) as refused:
        _ = RevisionResults("HEAD").predictions
    assert " of HEAD is not in DVC's cache, and the remote cannot be used, because access is denied to these credentials: " in (
        str(refused.value)
    )


def test_results_with_a_flipped_bit_are_refused() -> None:
    text = "path,label,predicted,probability\n" + "".join(f"{path}x,{a},{b},0.75\n" for path, (a, b) in ANSWERS.items())
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    cached = Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]
    cached.write_text(text.replace("0.75", "0.76"))
    try:
        with pytest.raises(
            UserError, match=f"predictions.csv of other is damaged .+ its MD5 is not {digest}; `train-resnet ver"
        ):
            compare_results(RevisionResults("first"), RevisionResults("other"))
    finally:
        cached.write_text(text)


SENTENCES = {
    "metrics.json": "metrics.json is not the file that dvc.lock records in workspace, so it may belong to another run: "
    "if a run is going on, ask again when it has ended; otherwise run `dvc repro`.",
    "dvc.lock": "dvc.lock of workspace is damaged or cut short: `train-resnet verify` says what to do.",
}


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("part", [0, 0.5])
def test_a_file_that_a_run_is_writing_is_a_sentence(name: str, part: float, train_resnet: Callable[..., Result]) -> None:
    before = Path(name).read_bytes()
    Path(name).write_bytes(before[: int(len(before) * part)])
    try:
        result = train_resnet("compare", "first")
    finally:
        Path(name).write_bytes(before)
    assert result.stderr == f"compare: {SENTENCES[name]}\n"
    assert result.exit_code == 1


@pytest.mark.parametrize("end", ["outs", "path"])
def test_a_lock_file_that_ends_between_two_lines_is_cut_short(end: str) -> None:
    whole = Path("dvc.lock").read_text()
    outs = "" if end == "outs" else "    outs:\n    - path: predictions.csv\n"
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n  ingest:\n    outs: []\n  evaluate:\n    cmd: 'true'\n{outs}")
    try:
        said = "does not know the stage ingest" if end == "outs" else "dvc.lock of workspace is damaged or cut short"
        with pytest.raises(UserError, match=said):
            RevisionResults("workspace")
    finally:
        Path("dvc.lock").write_text(whole)


def test_a_work_tree_of_another_run_is_refused() -> None:
    before = Path("predictions.csv").read_bytes()
    Path("predictions.csv").write_bytes(before.replace(b"0.75", b"0.76"))
    try:
        with pytest.raises(UserError, match="predictions.csv is not the file that dvc.lock records"):
            compare_results(RevisionResults("first"), RevisionResults("workspace"))
    finally:
        Path("predictions.csv").write_bytes(before)


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("nonsense", "there is no revision and no experiment 'nonsense' here"),
        ("nothing", "nothing has no results, because it has no dvc.lock"),
    ],
)
def test_a_revision_without_results_is_named(revision: str, sentence: str, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("compare", "first", revision)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"compare: {sentence}")


def test_figures_of_another_run_are_refused() -> None:
    before = Path("metrics.json").read_bytes()
    try:
        for content in (before.replace(b"0.6", b"0.99"), b""):
            Path("metrics.json").write_bytes(content)
            with pytest.raises(UserError, match=r"metrics.json is not the file that dvc.lock records in workspace"):
                assert RevisionResults("workspace").metrics
    finally:
        Path("metrics.json").write_bytes(before)


def test_pixels_of_another_run_are_refused() -> None:
    before = Path("raw/manifest.csv").read_bytes()
    Path("raw/manifest.csv").write_bytes(before + b"c/1,0\n")
    try:
        with pytest.raises(UserError, match=r"raw/manifest.csv is not the file that dvc.lock records in workspace"):
            RevisionResults("workspace").pixel_hashes()
    finally:
        Path("raw/manifest.csv").write_bytes(before)


def test_what_git_keeps_is_compared_with_the_lock_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git keeps `history.csv`; an interrupted training leaves its own there, also if that is committed."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    history = "epoch,loss\n1,2.0\n"
    digest = hashlib.md5(history.encode(), usedforsecurity=False).hexdigest()
    plots = [{"path": "history.csv", "hash": "md5", "md5": digest}]
    outs = {"ingest": [{**plots[0], "path": "raw"}], "evaluate": [{**plots[0], "path": "metrics.json"}], "train": plots}
    stages = {name: {"cmd": "true", "outs": each} for name, each in outs.items()}
    graph = {"train": {"cmd": "true", "outs": [{"history.csv": {"cache": False}}]}}
    Path("dvc.yaml").write_text(json.dumps({"stages": graph}))
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    for content, tag in ((history, "whole"), (history + "2,1.0\n", "mixed"), (history[:-6], "cut")):
        Path("history.csv").write_text(content)
        git("add", "--all")
        git("commit", "--quiet", "--message", tag)
        git("tag", tag)
    assert RevisionResults("whole").history == [{"epoch": 1.0, "loss": 2.0}]
    for revision in ("mixed", "cut", "workspace"):
        with pytest.raises(UserError, match=f"history.csv is not the file that dvc.lock records in {revision}"):
            assert RevisionResults(revision).history


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "dvc.lock of workspace is damaged or cut short: `train-resnet verify` says what to do."),
        ("stages: {evaluate: {cmd: x, outs: [{path: metrics.json}]}}", "dvc.lock of workspace is damaged or cut short"),
        ("stages: {ingest: {cmd: x}}", "workspace has no results: dvc.lock does not know the stage ingest"),
        ("<<<<<<< HEAD\nstages:\n=======\nstages: {}\n>>>>>>> a\n", "dvc.lock has the marks of a merge conflict"),
    ],
)
def test_a_damaged_lock_file_is_one_sentence(text: str, sentence: str) -> None:
    before = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_text(text)
    try:
        with pytest.raises(UserError) as caught:
            RevisionResults("workspace")
    finally:
        Path("dvc.lock").write_bytes(before)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("tree", [["cat", "dog"], {"classes": ["cat", "dog"], "label_sets": [[], [0, 1]]}])
def test_the_classes_are_named_with_and_without_sets_of_labels(tree: object, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RevisionResults("workspace")
    run._stages["preprocess"] = {"outs": [{"path": "prepared", "md5": "0"}]}
    monkeypatch.setattr(run, "_read", {"prepared/classes.json": json.dumps(tree)}.__getitem__)
    assert run.classes == ["cat", "dog"]


@pytest.mark.parametrize(("name", "expected"), [("micro_f1", True), ("macro_f1", False)])
def test_results_on_sets_of_labels_are_known_by_their_figures(
    name: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RevisionResults("workspace")
    monkeypatch.setattr(run, "_read", lambda _: json.dumps({"accuracy": 0.5, name: 0.5}))
    assert run.of_sets is expected
