"""What `ingest` writes of images with several labels each."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from resnet.core.classes import read_classes, read_label_texts
from resnet.core.errors import UserError
from resnet.images.manifest import read_manifest
from resnet.images.outcomes import Candidate
from resnet.ingestion.decisions import Decision, Decisions
from resnet.ingestion.labelling import Labelling, SeveralLabels
from resnet.ingestion.ledger import Ledger
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from tests.pictures import picture
from tests.resnet.ingestion.test_relabelling import pixels

CLASSES = ["owl", "cat", "dog"]  # not sorted, as names of a schema may be
GIVEN = ["dog|cat", "", "owl", "dog", "cat | dog|cat", "owl|dog|cat"]
TEXTS = ["cat|dog", "", "owl", "dog", "cat|dog", "owl|cat|dog"]


def write(
    folder: Path, labels: list[str] = GIVEN, pictures: list[int] | None = None, classes: list[str] = CLASSES, **options: Any
) -> Ledger:
    """Writes `raw/` in the folder: an image for each label, with the picture of this number."""
    numbers = pictures or list(range(len(labels)))
    files = [
        Candidate(f"{row}.png", label, lambda number=number: picture(number))  # type: ignore[misc]
        for row, (label, number) in enumerate(zip(labels, numbers, strict=True))
    ]
    return write_raw(folder / "raw", Source(classes, lambda: iter(files), multi_label=True), max_pixels=10**6, **options)


def rows(folder: Path, name: str = "manifest.csv") -> list[dict[str, str]]:
    with (folder / "raw" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def stored(folder: Path) -> list[list[str]]:
    """The labels in the shard, by the names in its schema, as other programs read it."""
    table = pq.read_table(folder / "raw" / "images-00000.parquet")
    feature = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]
    assert feature["_type"] == "Sequence"
    names = feature["feature"]["names"]
    return [[names[number] for number in one] for one in table["label"].to_pylist()]


def test_sets_are_written_in_the_order_of_the_classes(tmp_path: Path) -> None:
    ledger = write(tmp_path)
    assert [row["label"] for row in rows(tmp_path)] == TEXTS
    assert stored(tmp_path) == [list(filter(None, text.split("|"))) for text in TEXTS]
    path = tmp_path / "raw" / "classes.json"
    assert json.loads(path.read_text("utf-8")) == {"classes": CLASSES, "label_sets": [[], [0], [0, 1, 2], [1, 2], [2]]}
    assert read_label_texts(path) == ["", "owl", "owl|cat|dog", "cat|dog", "dog"]
    assert read_manifest(tmp_path / "raw", read_label_texts(path)).labels.tolist() == [3, 0, 1, 4, 3, 2]
    assert ledger.accepted == 6


def test_the_order_of_images_and_names_decides_no_number(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", GIVEN[::-1])
    texts = [(tmp_path / one / "raw" / "classes.json").read_bytes() for one in "ab"]
    assert texts[0] == texts[1]


def test_equal_pixels_with_another_order_are_duplicates_and_with_other_sets_a_conflict(tmp_path: Path) -> None:
    ledger = write(tmp_path, ["cat|dog", "dog|cat", "owl", "", "dog"], [0, 0, 1, 1, 2])
    assert [row["path"] for row in rows(tmp_path)] == ["0.png", "4.png"]
    assert rows(tmp_path, "duplicates.csv") == [{"path": "1.png", "duplicate_of": "0.png"}]
    details = [row["detail"] for row in rows(tmp_path, "rejected.csv")]
    assert details[1] == "labelled '', but '2.png' has the same pixels and is labelled 'owl'"
    # The sets of images that are left out are no labels.
    assert read_label_texts(tmp_path / "raw" / "classes.json") == ["cat|dog", "dog"]
    assert ledger.accepted == 2


def test_small_classes_leave_the_sets_and_the_images_stay(tmp_path: Path) -> None:
    ledger = write(tmp_path, [*GIVEN, "emu|dog", "emu"], classes=[*CLASSES, "emu"], min_images_per_class=3)
    assert [row["label"] for row in rows(tmp_path)] == ["cat|dog", "", "", "dog", "cat|dog", "cat|dog", "dog", ""]
    assert stored(tmp_path)[-2:] == [["dog"], []]
    path = tmp_path / "raw" / "classes.json"
    assert (read_classes(path), read_label_texts(path)) == (["cat", "dog"], ["", "cat|dog", "dog"])
    assert (ledger.shortened, ledger.accepted, ledger.rejected.total()) == (4, 8, 0)
    assert rows(tmp_path, "rejected.csv") == []


def test_decisions_name_sets(tmp_path: Path) -> None:
    kinds = [("relabel", "dog|owl"), ("relabel", "|"), ("keep", ""), ("leave out", "")]
    found = [Decision(pixels(picture(n)), f"{n}.png", kind, label) for n, (kind, label) in enumerate(kinds)]
    ledger = write(
        tmp_path, ["cat", "cat", "", "", "owl"], decisions=Decisions("x.csv", {one.pixel_hash: one for one in found})
    )
    assert [row["label"] for row in rows(tmp_path)] == ["owl|dog", "", "", "owl"]
    assert [tuple(row.values()) for row in rows(tmp_path, "decided.csv")] == [
        ("0.png", "cat", "relabel", "owl|dog"),
        ("1.png", "cat", "relabel", "|"),
        ("2.png", "|", "keep", "|"),
        ("3.png", "|", "leave out", ""),
    ]
    assert read_label_texts(tmp_path / "raw" / "classes.json") == ["", "owl", "owl|dog"]
    assert (ledger.decided["relabel"], ledger.unmatched) == (2, 0)


def test_a_decision_for_a_set_with_an_unknown_class_is_refused(tmp_path: Path) -> None:
    decisions = Decisions("x.csv", {"0": Decision("0", "0.png", "relabel", "cat|dogg", 7)})
    with pytest.raises(UserError, match="x.csv, line 7: '0.png' is to get the label 'dogg', .* did you mean 'dog'"):
        write(tmp_path, decisions=decisions)
    with pytest.raises(UserError, match=r"the label 'cat\|dog', which is no class"):
        Decisions("x.csv", {"0": Decision("0", "0.png", "relabel", "cat|dog")}).require_classes(CLASSES)


@pytest.mark.parametrize("name", ["a|b", " a", ""])
def test_names_that_a_set_cannot_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a class if images have several labels"):
        write(tmp_path, ["dog"], classes=["dog", name])
    assert not (tmp_path / "raw").exists()


def test_one_class_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a classifier needs 2 to"):
        write(tmp_path, ["dog", ""], classes=["dog"])


def test_more_sets_than_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.core.classes.MAX_CLASSES", 4)
    with pytest.raises(UserError, match="5 different sets of labels"):
        write(tmp_path)


def test_images_are_counted_by_class() -> None:
    assert SeveralLabels(CLASSES).by_class({"cat|dog": 2, "dog": 3, "": 5}) == {"cat": 2, "dog": 5}
    assert Labelling(["cat|dog", "dog"]).by_class({"cat|dog": 2, "dog": 3}) == {"cat|dog": 2, "dog": 3}
