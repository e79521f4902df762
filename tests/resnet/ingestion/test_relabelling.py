"""What decisions change in `data/raw/`, through every kind of source that people label."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resnet.core.checksums import RAW
from resnet.core.errors import UserError
from resnet.images.decoding import inspect
from resnet.images.perceptual_fingerprint import perceptual_fingerprint
from resnet.ingestion.decisions import Decision, Decisions, read_decisions, write_decisions
from resnet.ingestion.ledger import Ledger
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.catalog import open_source
from tests.pictures import picture, two_classes, write_tree

Rows = list[dict[str, str]]


def pixels(encoded: bytes) -> str:
    return inspect(encoded, 10**6, perceptual_fingerprint)[0].pixel_hash


def read(folder: Path, source: Path, decisions: list[Decision]) -> Ledger:
    write_decisions(folder / "decisions.csv", decisions)
    opened = open_source(str(source), class_level=None, path_column="auto", label_column="auto", image_folder="auto")
    return write_raw(folder / "raw", opened, max_pixels=10**6, decisions=read_decisions(folder / "decisions.csv"))


def rows(path: Path) -> Rows:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))


def as_folder(place: Path) -> Path:
    return two_classes(place / "photos", each=4)


def as_archive(place: Path) -> Path:
    return Path(shutil.make_archive(str(place / "photos"), "zip", as_folder(place)))


def as_table(place: Path) -> Path:
    names = [f"{kind}{n}.png" for kind in ("cat", "dog") for n in range(4)]
    write_tree(place, {name: picture(int(name[3]) + (1000 if name[0] == "d" else 0)) for name in names})
    (place / "labels.csv").write_text("file,label\n" + "".join(f"{name},{name[:3]}\n" for name in names), "utf-8")
    return place / "labels.csv"


def as_parquet(place: Path) -> Path:
    images = [{"bytes": picture(n + 1000 * k), "path": f"{k}{n}.png"} for k in (0, 1) for n in range(4)]
    place.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": ["cat"] * 4 + ["dog"] * 4}), place / "train.parquet")
    return place / "train.parquet"


@pytest.mark.parametrize("make", [as_folder, as_archive, as_table, as_parquet])
def test_decisions_hold_for_every_kind_of_source(make: Callable[[Path], Path], tmp_path: Path) -> None:
    source = make(tmp_path)
    cat, dog, other = (pixels(picture(number)) for number in (2, 1003, 1000))
    ledger = read(
        tmp_path,
        source,
        [Decision(cat, "p", "relabel", "dog"), Decision(dog, "q", "leave out", ""), Decision(other, "r", "keep", "")],
    )
    manifest = {row["pixel_hash"]: row["label"] for row in rows(tmp_path / "raw" / "manifest.csv")}
    assert len(manifest) == 7
    assert manifest[cat] == "dog"
    assert manifest[other] == "dog"
    assert dog not in manifest
    assert [manifest[pixels(picture(number))] for number in (0, 1, 3)] == ["cat"] * 3
    (rejected,) = rows(tmp_path / "raw" / "rejected.csv")
    assert rejected["reason"] == "left_out"
    assert "labelled 'dog', left out by " in rejected["detail"]
    decided = rows(tmp_path / "raw" / "decided.csv")
    assert sorted((row["given"], row["decision"], row["label"]) for row in decided) == [
        ("cat", "relabel", "dog"),
        ("dog", "keep", "dog"),
        ("dog", "leave out", ""),
    ]
    assert "decided.csv" in (tmp_path / "raw" / RAW).read_text("utf-8")
    assert dict(ledger.decided) == {"relabel": 1, "keep": 1, "leave out": 1}
    assert (dict(ledger.images), ledger.set_aside.total(), ledger.rejected.total()) == ({"cat": 3, "dog": 4}, 1, 0)


def test_without_decisions_the_bytes_are_as_before(tmp_path: Path) -> None:
    source = as_folder(tmp_path)
    read(tmp_path, source, [])
    with_header = {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir()}
    opened = open_source(str(source), class_level=None, path_column="auto", label_column="auto", image_folder="auto")
    write_raw(tmp_path / "plain", opened, max_pixels=10**6)
    assert with_header == {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
    assert "decided.csv" not in with_header


def test_a_decision_solves_a_conflict_of_labels(tmp_path: Path) -> None:
    source = as_folder(tmp_path)
    (source / "dog" / "copy.png").write_bytes(picture(2))
    assert read(tmp_path, source, []).rejected == {"label_conflict": 2}
    ledger = read(tmp_path, source, [Decision(pixels(picture(2)), "cat/2.png", "relabel", "cat")])
    assert (ledger.rejected, ledger.duplicates, ledger.images["cat"], ledger.images["dog"]) == ({}, 1, 4, 4)
    assert ledger.decided == {"relabel": 1}  # the other copy had the label already
    read(tmp_path, source, [Decision(pixels(picture(2)), "cat/2.png", "leave out", "")])
    assert [row["path"] for row in rows(tmp_path / "raw" / "rejected.csv")] == ["cat/2.png", "dog/copy.png"]


def test_decisions_about_no_image_are_counted_and_listed(tmp_path: Path) -> None:
    here, gone = Decision(pixels(picture(2)), "cat/2.png", "keep", ""), Decision("0" * 64, "gone.png", "relabel", "cat")
    ledger = read(tmp_path, as_folder(tmp_path), [here, gone])
    assert ledger.unmatched == 1
    assert rows(tmp_path / "raw" / "decided.csv")[-1] == {"path": "gone.png", "given": "", "decision": "relabel", "label": ""}
    with pytest.raises(UserError, match="^the only decision in"):
        read(tmp_path, tmp_path / "photos", [gone])


def test_the_size_of_a_class_counts_after_the_decisions(tmp_path: Path) -> None:
    source = open_source(
        str(as_folder(tmp_path)), class_level=None, path_column="auto", label_column="auto", image_folder="auto"
    )
    found = {pixels(picture(n)): Decision(pixels(picture(n)), "", "relabel", "dog") for n in range(3)}
    with pytest.raises(UserError, match=r"^the source has 1 class \('dog'\)"):  # one cat is left
        write_raw(tmp_path / "raw", source, max_pixels=10**6, min_images_per_class=2, decisions=Decisions("d", found))
