"""`data/raw/` from a source: what is kept, what is left out, and that every file is accounted for."""

import csv
import hashlib
import io
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resnet.core.classes import read_classes, write_classes
from resnet.core.errors import UserError
from resnet.images.manifest import read_manifest
from resnet.images.outcomes import BadFile, Candidate, Outcome, Reason, Rejected
from resnet.images.shards import read_encoded
from resnet.ingestion.ledger import Ledger
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.folder import folder_source
from resnet.ingestion.sources.source import Source
from tests.hostile.images import LIMIT, bad_images
from tests.pictures import picture, two_classes, write_tree

CLASSES = ["cat", "dög, 'big'"]


def file(path: str, content: bytes, label: str | None = None, **given: Any) -> Candidate:
    return Candidate(path, label or path.split("/", maxsplit=1)[0], lambda: content, **given)


def source(*files: Outcome) -> Source:
    labels = {file.label for file in files if isinstance(file, Candidate)}
    return Source(sorted(labels | set(CLASSES)), lambda: iter(files))


SIX = source(*(file(f"{CLASSES[n % 2]}/{n}.png", picture(n, size=(3 + n, 2))) for n in range(6)))


def ingest(folder: Path, of: Source, **options: Any) -> Ledger:
    return write_raw(folder, of, max_pixels=10_000, **options)


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def kept(folder: Path) -> dict[str, bytes]:
    """The encoded image of each path, read back through the manifest."""
    manifest = read_manifest(folder, read_classes(folder / "classes.json"))
    return dict(zip(manifest.paths, read_encoded(folder, manifest.paths), strict=True))


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert ingest(tmp_path / "raw", SIX).accepted == 6
    expected = {f"{CLASSES[n % 2]}/{n}.png": picture(n, size=(3 + n, 2)) for n in range(6)}
    assert kept(tmp_path / "raw") == expected
    manifest = read_manifest(tmp_path / "raw", CLASSES)
    assert manifest.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert manifest.splits == manifest.groups == [None] * 6


def test_the_manifest_has_a_line_for_each_image(tmp_path: Path) -> None:
    jpeg = Image.new("CMYK", (8, 4))
    jpeg.save(buffer := io.BytesIO(), "JPEG")
    of = source(file("cat/1", picture(1)), file("cat/2", buffer.getvalue(), split="test", group="g"))
    ingest(tmp_path / "raw", of)
    first, second = lines(tmp_path / "raw", "manifest")
    assert (first["path"], first["label"], first["split"], first["group"]) == ("cat/1", "cat", "", "")
    assert (first["width"], first["height"], first["format"], first["flags"]) == ("12", "10", "PNG", "")
    assert first["sha256"] == hashlib.sha256(picture(1)).hexdigest()
    assert (second["split"], second["group"]) == ("test", "g")
    assert (second["width"], second["height"], second["format"], second["flags"]) == ("8", "4", "JPEG", "cmyk")
    assert len(first["pixel_hash"]) == 64


def test_shards_are_in_the_image_layout_of_hugging_face(tmp_path: Path) -> None:
    ingest(tmp_path / "raw", SIX)
    table = pq.read_table(tmp_path / "raw" / "images-00000.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    frame = pd.read_parquet(tmp_path / "raw" / "images-00000.parquet")
    assert frame["label"].tolist() == [0, 1, 0, 1, 0, 1]
    assert frame["image"][1]["path"] == "dög, 'big'/1.png"
    assert Image.open(io.BytesIO(frame["image"][5]["bytes"])).size == (8, 2)


def test_the_same_source_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ingest(tmp_path / name, folder_source(two_classes(tmp_path / "tree", each=40)))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_full_shard_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.images.shards._GROUP_BYTES", 1)  # one image in a group
    size = len(picture(0, size=(3, 2)))
    ingest(tmp_path / "raw", SIX, shard_bytes=int(1.5 * size))
    assert len(sorted((tmp_path / "raw").glob("*.parquet"))) == 3
    assert list(kept(tmp_path / "raw")) == [f"{CLASSES[n % 2]}/{n}.png" for n in range(6)]


@pytest.mark.parametrize(("classes", "found"), [(["cat"], "1 class \\('cat'\\)"), ([], "0 classes \\(none\\)")])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: list[str], found: str) -> None:
    with pytest.raises(UserError, match=f"the source has {found}, but a classifier needs 2 to 65,536"):
        ingest(tmp_path / "raw", Source(classes, lambda: iter(())))
    assert not (tmp_path / "raw").exists()


def test_a_source_without_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree" / "cat").mkdir(parents=True)
    (tmp_path / "tree" / "dog").mkdir()
    with pytest.raises(UserError, match=r"the source has no usable image \(no files\)"):
        ingest(tmp_path / "raw", folder_source(tmp_path / "tree"))
    for name in ("cat", "dog"):
        (tmp_path / "tree" / name / "1.jpg").touch()
    with pytest.raises(
        UserError, match=r"the source has no usable image \(2 empty\); the first are 'cat/1\.jpg' \(empty: no bytes\)"
    ):
        ingest(tmp_path / "raw", folder_source(tmp_path / "tree"))


def test_a_file_that_is_no_image_is_listed_with_its_reason(tmp_path: Path) -> None:
    ledger = ingest(tmp_path / "raw", source(file("cat/1", picture(1)), file("cat/a\nb", b""), file("cat/c\rd", picture(2))))
    assert ledger.rejected == Counter(empty=1, name_not_usable=1)
    assert [(row["path"], row["reason"]) for row in lines(tmp_path / "raw", "rejected")] == [
        ("cat/a\nb", "empty"),
        ("cat/c\\rd", "name_not_usable"),
    ]
    assert pd.read_csv(tmp_path / "raw" / "rejected.csv")["path"].tolist() == ["cat/a\nb", "cat/c\\rd"]


def test_a_bad_file_ends_the_run_on_request(tmp_path: Path) -> None:
    of = source(file("cat/1", picture(1)), file("cat/2", b""), file("cat/3", b""))
    with pytest.raises(
        UserError, match=r"'cat/2' is rejected as empty \(.+\); fix or remove it, .* set ingest\.on_bad to quarantine"
    ):
        ingest(tmp_path / "raw", of, on_bad="fail")
    assert list(tmp_path.iterdir()) == []


def test_too_many_bad_files_end_the_run(tmp_path: Path) -> None:
    of = source(*(file(f"cat/{n}", picture(n)) for n in range(8)), file("cat/x", b""), file("cat/y", b"text"))
    assert ingest(tmp_path / "raw", of, max_rejected=0.2).rejected.total() == 2
    (tmp_path / "raw" / "marker").touch()
    with pytest.raises(
        UserError, match=r"2 of 10 files were rejected \(1 empty, 1 not_an_image\), more than .*rejected\.csv lists all"
    ):
        ingest(tmp_path / "raw", of, max_rejected=0.19)
    assert [row["path"] for row in lines(tmp_path, "rejected")] == ["cat/x", "cat/y"]
    assert (tmp_path / "raw" / "marker").exists()  # the old folder is kept
    ingest(tmp_path / "raw", of, max_rejected=0.2)
    assert not (tmp_path / "rejected.csv").exists()


def test_names_that_no_table_could_hold_are_rejected(tmp_path: Path) -> None:
    ledger = ingest(tmp_path / "raw", source(file("cat/1", picture(1)), file(f"cat/{'x' * 140_000}", picture(2))))
    assert ledger.rejected == Counter(name_not_usable=1)
    assert kept(tmp_path / "raw") == {"cat/1": picture(1)}


def test_class_names_must_be_unique_and_valid_unicode(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names the class 'a' twice"):
        ingest(tmp_path / "raw", Source(["a", "a", "b"], lambda: iter(())))
    with pytest.raises(UserError, match=r"a class name is not valid Unicode \('\\ud800'\)"):
        ingest(tmp_path / "raw", Source(["a", "\ud800"], lambda: iter(())))


def test_of_images_of_equal_pixels_the_first_is_kept(tmp_path: Path) -> None:
    as_bmp, as_png = picture(1, kind="BMP"), picture(1)
    files = [file("cat/b", as_png), file("cat/z", picture(2)), file("cat/a", as_bmp), file("cat/c", as_png)]
    ledger = ingest(tmp_path / "raw", source(*files))
    assert (ledger.accepted, ledger.duplicates, ledger.files) == (2, 2, 4)
    assert kept(tmp_path / "raw") == {"cat/b": as_png, "cat/z": picture(2)}
    assert lines(tmp_path / "raw", "duplicates") == [
        {"path": "cat/a", "duplicate_of": "cat/b"},
        {"path": "cat/c", "duplicate_of": "cat/b"},
    ]
    assert not (tmp_path / "raw" / "readable").exists()


def test_an_image_under_two_labels_is_a_conflict_and_left_out(tmp_path: Path) -> None:
    dog = CLASSES[1]
    files = [
        file("1", picture(1), "cat"),
        file("2", picture(2), "cat"),
        file("3", picture(1), dog),
        file("4", picture(1), "cat"),
    ]
    ledger = ingest(tmp_path / "raw", source(*files))
    assert list(kept(tmp_path / "raw")) == ["2"]
    assert ledger.rejected == Counter(label_conflict=3)
    rejected = lines(tmp_path / "raw", "rejected")
    assert [row["path"] for row in rejected] == ["1", "3", "4"]
    assert rejected[0]["detail"] == "labelled 'cat', but '3' has the same pixels and is labelled \"dög, 'big'\""
    with pytest.raises(UserError, match="'1' is rejected as label_conflict"):
        ingest(tmp_path / "raw", source(*files), on_bad="fail")


def test_copies_in_splits_that_the_source_gives_stay(tmp_path: Path) -> None:
    files = [
        file("cat/free", picture(1)),
        file("cat/train", picture(1), split="training"),
        file("cat/test", picture(1), split="test"),
        file("cat/free too", picture(1)),
    ]
    ledger = ingest(tmp_path / "raw", source(*files))
    assert list(kept(tmp_path / "raw")) == ["cat/train", "cat/test"]
    assert (ledger.accepted, ledger.duplicates) == (2, 2)


def test_a_thousand_planted_copies_are_found_a_thousand_times(tmp_path: Path) -> None:
    generator = random.Random(0)
    originals = {f"{CLASSES[n % 2]}/o{n}": picture(n) for n in range(600)}
    planted = {}
    for n in range(1000):
        number = generator.randrange(600)
        kind = generator.choice(["PNG", "BMP", "TIFF"])
        planted[f"{CLASSES[number % 2]}/c{n}"] = (f"{CLASSES[number % 2]}/o{number}", picture(number, kind=kind))
    files = [file(path, encoded) for path, encoded in originals.items()] + [file(p, e) for p, (_, e) in planted.items()]
    ledger = ingest(tmp_path / "raw", source(*files))
    assert ledger.duplicates == 1000
    assert {row["path"]: row["duplicate_of"] for row in lines(tmp_path / "raw", "duplicates")} == {
        path: original for path, (original, _) in planted.items()
    }
    assert kept(tmp_path / "raw") == originals


def test_a_text_beside_the_images_is_ignored_unless_it_is_an_image(tmp_path: Path) -> None:
    contents = {
        "boxes.txt": b"1 2 3 4",
        "letter.txt": b"GI",  # as the header of a GIF begins
        "empty.json": b"",
        "features.mat": b"MATLAB 5.0 MAT-file",
        "real.txt": picture(1),
        "cut.txt": picture(2, kind="JPEG")[:200],
    }
    files = [Candidate(f"cat/{name}", "cat", partial(bytes, content), unlikely=True) for name, content in contents.items()]

    def too_long() -> bytes:
        raise BadFile(Reason.TOO_LARGE, "of many bytes")

    ledger = ingest(tmp_path / "raw", source(*files, Candidate("cat/long.csv", "cat", too_long, unlikely=True)))
    assert kept(tmp_path / "raw") == {"cat/real.txt": picture(1)}
    assert ledger.rejected == Counter(truncated=1)
    assert [row["path"] for row in lines(tmp_path / "raw", "ignored")] == [
        f"cat/{name}" for name in ("boxes.txt", "letter.txt", "empty.json", "features.mat", "long.csv")
    ]


def test_classes_with_few_images_are_left_out_on_request(tmp_path: Path) -> None:
    files = [file(f"{label}/{n}", picture(10 * k + n)) for k, label in enumerate("abcd") for n in range(k + 1)]
    copies = [file("c/copy", picture(20)), file("b/copy", picture(10))]  # a copy is no further image
    of = Source([*"abcde"], lambda: iter([*files, *copies]))
    assert ingest(tmp_path / "all", of).classes == [*"abcde"]
    ledger = ingest(tmp_path / "raw", of, min_images_per_class=3, max_rejected=0.0)
    assert ledger.classes == read_classes(tmp_path / "raw" / "classes.json") == ["c", "d"]
    assert list(kept(tmp_path / "raw")) == ["c/0", "c/1", "c/2", "d/0", "d/1", "d/2", "d/3"]
    assert read_manifest(tmp_path / "raw", ["c", "d"]).labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert (ledger.set_aside, ledger.duplicates, ledger.files) == (Counter(small_class=3), 2, 12)
    rejected = lines(tmp_path / "raw", "rejected")
    assert [(row["path"], row["reason"]) for row in rejected] == [(path, "small_class") for path in ("a/0", "b/0", "b/1")]
    assert rejected[2]["detail"] == "class 'b' has fewer images (2) than ingest.min_images_per_class asks for (3)"


def test_two_classes_must_remain(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the source has 1 class \('b'\), but a classifier needs 2"):
        ingest(
            tmp_path / "raw",
            Source([*"ab"], lambda: iter([file(f"b/{n}", picture(n)) for n in range(3)])),
            min_images_per_class=2,
        )


MAKERS: list[Callable[[random.Random, Path], object]] = [
    lambda r, p: p.write_bytes(picture(r.randrange(10**6))),
    lambda r, p: p.write_bytes(picture(r.randrange(6), kind=r.choice(["PNG", "BMP"]))),  # duplicates and conflicts
    lambda r, p: p.write_bytes(b""),
    lambda r, p: p.write_bytes(r.randbytes(50)),
    lambda r, p: p.write_bytes(picture(r.randrange(10**6))[:40]),
    lambda r, p: p.symlink_to("nowhere"),
    lambda r, p: os.mkfifo(p),
    lambda r, p: p.with_name(f".{p.name}").write_bytes(b"x"),
    lambda r, p: p.with_name(f"{p.name}.xml").write_bytes(b"<x/>"),
    lambda r, p: p.with_name(f"README.{r.randrange(10**6)}.txt").write_bytes(b"x"),
    lambda r, p: (p.parent.parent / p.name).write_bytes(picture(r.randrange(10**6))),
]


@pytest.mark.parametrize("seed", range(6))
def test_every_file_of_any_tree_ends_as_one_of_four_and_is_listed(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    tree = two_classes(tmp_path / "tree", each=3)
    for number in range(60):
        folder = tree / generator.choice(["cat", "dog"]) / generator.choice(["", "a", "b/c"])
        folder.mkdir(parents=True, exist_ok=True)
        generator.choice(MAKERS)(generator, folder / f"{number:03d}")
    expected = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()}
    ledger = ingest(tmp_path / "raw", folder_source(tree))
    listed = {
        name: [row["path"] for row in lines(tmp_path / "raw", name)]
        for name in ("manifest", "rejected", "duplicates", "ignored")
    }
    assert sorted(path for paths in listed.values() for path in paths) == sorted(expected)
    assert ledger.files == len(expected)
    counts = {name: len(paths) for name, paths in listed.items()}
    assert counts == {
        "manifest": ledger.accepted,
        "rejected": ledger.rejected.total(),
        "duplicates": ledger.duplicates,
        "ignored": ledger.ignored,
    }


def test_a_source_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    def files() -> Any:
        yield file("cat/1", picture(1))
        raise UserError("the archive breaks off")

    with pytest.raises(UserError, match="breaks off"):
        ingest(tmp_path / "raw", Source(CLASSES, files))
    assert list(tmp_path.iterdir()) == []


def read_all(folder: Path) -> None:
    kept(folder)


def test_a_manifest_without_its_last_lines_is_noticed(tmp_path: Path) -> None:
    ingest(tmp_path / "raw", SIX)
    path = tmp_path / "raw" / "manifest.csv"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-2]), encoding="utf-8")
    with pytest.raises(UserError, match="shards hold more than the 4 images that its manifest lists"):
        read_all(tmp_path / "raw")


@pytest.mark.parametrize("name", ["classes.json", "manifest.csv", "images-00000.parquet"])
@pytest.mark.parametrize("length", [9, 60])
def test_a_file_that_is_cut_short_or_missing_is_named(tmp_path: Path, name: str, length: int) -> None:
    folder = tmp_path / "raw"
    ingest(folder, SIX)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-length])
    with pytest.raises(UserError, match=r"is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        read_all(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"missing|manifest lists"):
        read_all(folder)


def test_classes_must_be_two_names(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    for text in ('{"a": 1}', '["a"]', "[1, 2]"):
        path.write_text(text)
        with pytest.raises(UserError, match="not a list of two or more names"):
            read_classes(path)
    write_classes(path, ["a", "b"])
    assert read_classes(path) == ["a", "b"]


def test_a_source_yields_what_a_rejected_line_says(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", {"stray.png": picture(1), "cat/1.png": picture(2), "dog/1.png": picture(3)})
    found = [outcome for outcome in folder_source(tmp_path / "tree").files() if isinstance(outcome, Rejected)]
    ingest(tmp_path / "raw", folder_source(tmp_path / "tree"))
    assert [row["path"] for row in lines(tmp_path / "raw", "rejected")] == [outcome.path for outcome in found] == ["stray.png"]


def test_hundreds_of_bad_files_are_listed_with_path_and_reason(tmp_path: Path) -> None:
    bad = bad_images()
    assert len(bad) >= 300
    expected = {}
    for number, image in enumerate(bad):
        path = f"{('cat', 'dog')[number % 2]}/{number:03d}.jpg"  # whatever it is: names do not count
        expected[path] = str(image.reason)
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / path).write_bytes(image.encoded)
    two_classes(tmp_path / "tree", each=2)
    ledger = write_raw(tmp_path / "raw", folder_source(tmp_path / "tree"), max_pixels=LIMIT)
    assert {row["path"]: row["reason"] for row in lines(tmp_path / "raw", "rejected")} == expected
    assert ledger.accepted == 4
