"""`train-resnet decide`: from a table of suspects to the decisions that `ingest` applies."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from resnet.audit.suspects import Suspect, write_suspects
from resnet.ingestion.decisions import read_decisions
from tests.imports import ROOT

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
DECISIONS, TABLE = Path("data/decisions.csv"), Path("reports/audit/suspects.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the table of an audit, without a decision."""
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "params.yaml", "data/decisions.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((ROOT / name).read_bytes())
    TABLE.parent.mkdir(parents=True)
    suspects = [(ONE, "a.png", "cat"), (TWO, "b.png", "dog"), (THREE, "c.png", "cat")]
    write_suspects(TABLE, [Suspect(n, path, key, "owl", label, 0.1) for n, (key, path, label) in enumerate(suspects, start=1)])
    return tmp_path


def write(path: str, decision: str, label: str | None = None) -> None:
    """Writes a decision into the row of an image, as a person does."""
    lines = TABLE.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        cells = line.split(",")
        if cells[5] == path:
            lines[number] = ",".join([cells[0], decision, label or cells[2], *cells[3:]])
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def known() -> dict[str, tuple[str, str]]:
    return {one.path: (one.kind, one.label) for one in read_decisions(DECISIONS)}


@pytest.mark.usefixtures("folder")
def test_rows_with_a_decision_are_added(train_resnet: Callable[..., Result]) -> None:
    write("a.png", "relabel")
    write("b.png", "leave out")
    result = train_resnet("decide")
    assert (result.exit_code, result.stdout) == (
        0,
        "decide: 1 relabel, 1 leave out; data/decisions.csv has 2 decisions\n"
        "decide: next: `dvc repro`, which applies them, and `git commit data/decisions.csv`\n",
    )
    assert known() == {"a.png": ("relabel", "cat"), "b.png": ("leave out", "")}


@pytest.mark.usefixtures("folder")
def test_a_later_decision_about_an_image_replaces_the_earlier_one(train_resnet: Callable[..., Result]) -> None:
    write("a.png", "relabel")
    write("c.png", "keep")
    train_resnet("decide", str(TABLE))
    write("a.png", "relabel", "dog")
    result = train_resnet("decide", str(TABLE))
    assert "1 relabel, 1 keep, of which 2 replaced earlier ones; data/decisions.csv has 2 decisions" in result.stdout
    assert known() == {"a.png": ("relabel", "dog"), "c.png": ("keep", "")}


def test_what_cannot_be_decided_is_one_sentence_and_changes_nothing(folder: Path, train_resnet: Callable[..., Result]) -> None:
    before = DECISIONS.read_bytes()
    sentences = [train_resnet("decide").stderr]
    write("a.png", "remove")
    sentences.append(train_resnet("decide").stderr)
    write("a.png", "relabel", "zebra")
    (folder / "data/raw").mkdir()
    (folder / "data/raw/classes.json").write_text(json.dumps(["cat", "dog", "owl"]))
    sentences.append(train_resnet("decide").stderr)
    write("a.png", "keep")
    TABLE.write_text(TABLE.read_text("utf-8") + f"4,keep,cat,owl,0.1,again.png,{ONE},cat\n", encoding="utf-8")
    sentences.append(train_resnet("decide").stderr)
    TABLE.write_text("path,decision\nx,keep\n")
    sentences.append(train_resnet("decide").stderr)
    TABLE.unlink()
    sentences.append(train_resnet("decide").stderr)
    assert sentences == [
        f"decide: no row of {TABLE} has a decision: write relabel, leave out or keep in the column decision, and save it.\n",
        f"decide: {TABLE}, line 2: the decision is 'remove', but expected is one of relabel, leave out, keep.\n",
        f"decide: {TABLE}, line 2: 'a.png' is to get the label 'zebra', which is no class of the source: the classes are "
        "'cat', 'dog', 'owl'.\n",
        f"decide: {TABLE}, lines 2 and 5: two decisions about the image 'again.png': keep one.\n",
        f"decide: {TABLE} lacks the columns number, suggested, given, score, pixel_hash: its first row must name number, "
        "decision, suggested, given, score, path, pixel_hash.\n",
        f"decide: {TABLE} is missing: `python -m flows.audit` writes it, or name another table.\n",
    ]
    assert DECISIONS.read_bytes() == before


def test_an_image_of_several_labels_gets_a_set(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "data/raw").mkdir()
    tree = {"classes": ["cat", "dog", "owl"], "label_sets": [[0], [1, 2]]}
    (folder / "data/raw/classes.json").write_text(json.dumps(tree), encoding="utf-8")
    write("a.png", "relabel", "owl|zebra")
    assert "is to get the label 'zebra', which is no class of the source" in train_resnet("decide").stderr
    write("a.png", "relabel", "owl|cat")
    write("b.png", "relabel", "|")
    assert train_resnet("decide").exit_code == 0
    assert known() == {"a.png": ("relabel", "owl|cat"), "b.png": ("relabel", "|")}


def test_decisions_about_images_that_ingest_does_not_list_are_named(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write("a.png", "keep")
    write("b.png", "keep")
    (folder / "data/raw").mkdir()
    (folder / "data/raw/manifest.csv").write_text(f"path,pixel_hash\na.png,{ONE}\n", encoding="utf-8")
    found = train_resnet("decide").stdout
    assert "warning: 1 decision is about no image in data/raw/manifest.csv: 'b.png'; check pixel_hash" in found
    write("b.png", "")
    assert "warning" not in train_resnet("decide").stdout


@pytest.mark.usefixtures("folder")
def test_one_decision_is_counted_in_the_singular(train_resnet: Callable[..., Result]) -> None:
    write("a.png", "keep")
    assert "data/decisions.csv has 1 decision\n" in train_resnet("decide").stdout
