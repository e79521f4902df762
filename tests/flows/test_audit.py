"""An audit of labels: its checks, and a whole one whose networks know the right labels."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flows import audit
from flows.child_runs import Child
from flows.names import describe_audit
from resnet.audit.suspects import COLUMNS
from resnet.core.errors import UserError
from tests.flows.quick import QuickProject, Server, make_child
from tests.imports import ROOT


def test_each_fold_is_a_run_and_near_duplicates_stay_together() -> None:
    assert audit.proposals(2, {"train.epochs": 3}) == [
        {"preprocess.near_duplicates": "together", "train.epochs": 3, "preprocess.fold": "1/2"},
        {"preprocess.near_duplicates": "together", "train.epochs": 3, "preprocess.fold": "2/2"},
    ]
    assert audit.proposals(2, {"preprocess.near_duplicates": "ignore"})[0]["preprocess.near_duplicates"] == "ignore"


@pytest.mark.parametrize("folds", [-1, 0, 1, 101])
def test_a_number_of_folds_that_is_no_cross_validation_is_refused(folds: int) -> None:
    with pytest.raises(UserError, match=rf"^folds must be a number from 2 to 100, but it is {folds}; 5 is usual.$"):
        audit.check_audit(folds, {}, 1, "HEAD", False)


def test_the_fold_cannot_be_changed() -> None:
    with pytest.raises(UserError, match="^an audit sets preprocess.fold for each of its runs"):
        audit.check_audit(5, {"preprocess.fold": "1/5"}, 1, "HEAD", False)


def test_without_cleanlab_no_run_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    assert audit.main(["--folds", "3"]) == 1
    expected = "an audit needs cleanlab, which is not installed; run `pip install -e '.[audit]'`.\n"
    assert capsys.readouterr().err == expected


def test_a_table_with_a_slip_is_found_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "data/decisions.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((ROOT / name).read_bytes())
    Path("reports/audit").mkdir(parents=True)
    table = Path("reports/audit/suspects.csv")
    table.write_text(f"{','.join(COLUMNS)}\n1,delete,cat,dog,0.1,a.png,{'a' * 64}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: the decision is 'delete', but expected is one of relabel, leave out, keep"):
        audit.check_audit(5, {}, 1, "HEAD", False)


def test_images_with_several_labels_are_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit, "check", lambda *_: "abc")
    for name in ("dvc.yaml", "params.yaml", "data/decisions.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((ROOT / name).read_bytes())
    assert audit.check_audit(5, {}, 1, "HEAD", False) == "abc"
    refused = pytest.raises(UserError, match="several labels each, but an audit needs one label for each image: look at")
    for overrides in ({"ingest.multi_label": True}, {"ingest": {"multi_label": True}}):
        with refused:
            audit.check_audit(5, overrides, 1, "HEAD", False)
    Path("data/raw").mkdir()
    Path("data/raw/classes.json").write_text('{"classes": ["cat", "dog"], "label_sets": [[0], [0, 1]]}', encoding="utf-8")
    with refused:
        audit.check_audit(5, {"train.epochs": 3}, 1, "HEAD", False)
    assert audit.main(["--folds", "3"]) == 1
    assert capsys.readouterr().err.startswith("the images have several labels each")
    # What other images are like, and those of another revision, is not known yet.
    assert audit.check_audit(5, {"ingest.source": "photos"}, 1, "HEAD", False) == "abc"
    assert audit.check_audit(5, {}, 1, "v1", False) == "abc"
    assert audit.check_audit(5, {"ingest.multi_label": False}, 1, "HEAD", False) == "abc"


def test_other_images_than_those_of_the_last_commit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit, "check", lambda *_: "abc")
    for name in ("dvc.yaml", "params.yaml", "data/decisions.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((ROOT / name).read_bytes())
    last = Path("params.yaml").read_text("utf-8")
    monkeypatch.setattr("commands.advice.parameters.git_or_none", lambda *_: last)
    assert audit.check_audit(5, {}, 1, "HEAD", False) == "abc"
    Path("params.yaml").write_text(last.replace("source: builtin/digits", "source: ../photos"), encoding="utf-8")
    expected = (
        "^params.yaml says ingest.source: ../photos, but the last commit, which an audit takes, says builtin/digits: commit "
        "params.yaml, or add --include-changes.$"
    )
    with pytest.raises(UserError, match=expected):
        audit.check_audit(5, {"train.epochs": 3}, 1, "HEAD", False)
    assert audit.check_audit(5, {}, 1, "HEAD", True) == "abc"
    assert audit.check_audit(5, {"ingest.source": "photos"}, 1, "HEAD", False) == "abc"
    assert audit.check_audit(5, {}, 1, "v1", False) == "abc"
    Path("params.yaml").unlink()
    assert audit.check_audit(5, {}, 1, "HEAD", False) == "abc"


def test_after_a_fold_that_failed_no_other_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def fake(proposals: Iterable[Mapping[str, Any]], *_: Any) -> Iterator[Child]:
        for number, proposal in enumerate(proposals, 1):
            started.append(proposal["preprocess.fold"])
            yield make_child(number, None if number == 2 else 0.5, **proposal)

    monkeypatch.setattr(audit, "run_all", fake)
    monkeypatch.setattr(audit, "check_audit", lambda *_: "abc")
    state = audit.audit.fn(folds=4)
    assert started == ["1/4", "2/4"]
    assert state.is_failed()
    assert state.message == ("Fold 2/4: train: a | b. Folds that are done stay in DVC's cache: start the audit again to go on.")


def test_a_run_is_named_by_its_folds_and_changes() -> None:
    assert describe_audit({"folds": 3, "overrides": {"train.epochs": 2}}) == "audit 3 folds epochs=2"
    assert describe_audit({}) == "audit 5 folds"


def test_a_whole_audit_finds_the_wrong_label_and_takes_the_decision(
    make_quick: Callable[..., QuickProject], server: Server
) -> None:
    project = make_quick(server.environment)
    table = project.folder / "reports/audit/suspects.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f"{','.join(COLUMNS)}\n1,keep,cat,dog,0.1,a.png,{'a' * 64},cat\n", encoding="utf-8")
    first = project.run("python", "-m", "flows.audit", "--folds", "2").stdout
    # 39 of 40 labels are those that the networks find; by Wilson's formula 87.1 to 99.6 %.
    assert "audit: cross-validated accuracy 97.50 % (95 % interval 87.12 to 99.56 %) of 40 images" in first
    assert "audit: 1 label of 40 in builtin/digits is suspect: reports/audit/index.html shows it" in first
    copy = "reports/audit/suspects-of-other-images-1.csv"
    assert f"audit: 1 row of the last table is about other images: {copy} has it\n" in first
    assert "1,keep,cat,dog,0.1,a.png" in project.read(copy)
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["given"], row["suggested"], row["decision"]) == ("3.png", "dog", "cat", "")
    assert "data:image/jpeg;base64," in project.read("reports/audit/index.html")
    table.write_text(table.read_text("utf-8").replace("1,,cat", "1,relabel,cat"), encoding="utf-8")
    assert "1 relabel" in project.run("python", "-m", "commands", "decide").stdout
    assert project.read("data/decisions.csv").splitlines()[1] == f"{3:064x},3.png,relabel,cat"
