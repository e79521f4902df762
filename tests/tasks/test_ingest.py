"""What `ingest` prints about a source."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from resnet.core.classes import read_classes, read_label_texts
from resnet.core.errors import UserError
from tasks import ingest as stage
from tasks.ingest import Ingest
from tests.pictures import picture, two_classes, write_tree


def ingest(params: Ingest, *, raw: Path, decisions: str = "") -> None:
    """Runs the stage with these rows of decisions."""
    path = raw.with_name("decisions.csv")
    path.write_text(f"pixel_hash,path,decision,label\n{decisions}", encoding="utf-8")
    stage.ingest(params, decisions_csv=path, raw=raw)


def params(source: Path, **changes: object) -> Ingest:
    values = {
        "source": str(source),
        "on_bad": "quarantine",
        "max_rejected": 0.5,
        "max_pixels": 10**6,
        "min_images_per_class": 1,
        "multi_label": "auto",
        "class_level": "auto",
        "path_column": "auto",
        "label_column": "auto",
        "image_folder": "auto",
    } | changes
    return Ingest.model_validate(values)


def test_images_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    ingest(params(source), raw=tmp_path / "raw")
    assert capsys.readouterr().out == f"ingest: 6 images of 2 classes from {source}\n"
    assert (tmp_path / "raw" / "manifest.csv").exists()


def test_everything_that_is_left_out_is_named_with_its_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "cat" / "broken.png").write_bytes(picture(5)[:40])
    (source / "cat" / "again.png").write_bytes((source / "cat" / "0.png").read_bytes())
    (source / "cat" / "Thumbs.db").write_text("not an image")
    raw = tmp_path / "raw"
    ingest(params(source), raw=raw)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("ingest: left out of 9 files: 1 rejected (")
    assert f"see {raw / 'rejected.csv'}; 1 duplicate, see {raw / 'duplicates.csv'}; 1 ignored as no image, see" in line


def test_a_class_without_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "owl").mkdir()
    (source / "owl" / "broken.png").write_bytes(picture(5)[:40])
    ingest(params(source), raw=tmp_path / "raw")
    assert "ingest: without an image: 'owl'; preprocess will refuse them" in capsys.readouterr().out


def test_how_the_folders_were_read_is_said_before_the_images_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos" / "train", each=3).parent
    (source / "val").mkdir()
    (source / "val" / "1.png").write_bytes(picture(5))
    ingest(params(source, on_bad="fail"), raw=tmp_path / "raw")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "ingest: 'val' has no class folders, so its 1 image is unlabelled and left out; the validation split"
    )
    assert second.startswith("ingest: 6 images of 2 classes")
    assert third == f"ingest: left out of 7 files: 1 unlabelled, see {tmp_path / 'raw' / 'rejected.csv'}"


def test_a_given_split_whose_images_are_all_unusable_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos" / "train", each=3).parent
    for name in ("cat", "dog"):
        (source / "test" / name).mkdir(parents=True)
        (source / "test" / name / "1.png").write_bytes(picture(5)[:40])
    ingest(params(source), raw=tmp_path / "raw")
    note = "ingest: no file of the test split that the source gives is usable; preprocess cuts it from the training images"
    assert capsys.readouterr().out.splitlines()[-1] == note


def test_classes_with_few_images_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "owl").mkdir()
    (source / "owl" / "1.png").write_bytes(picture(5))
    ingest(params(source, min_images_per_class=3), raw=tmp_path / "raw")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ingest: 6 images of 2 classes")
    assert "1 of small classes, see" in lines[1]
    assert lines[2] == "ingest: left out 1 class with fewer than 3 images: 'owl'"


def test_the_level_of_the_classes_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos" / "day", each=3).parent
    (source / "night" / "cat").mkdir(parents=True)
    (source / "night" / "dog").mkdir()
    for name in ("cat", "dog"):
        (source / "night" / name / "1.png").write_bytes(picture(ord(name[0])))
    with pytest.raises(UserError, match="hold folders with the same names"):
        ingest(params(source), raw=tmp_path / "raw")
    ingest(params(source, class_level=2), raw=tmp_path / "raw")
    assert capsys.readouterr().out.startswith("ingest: 8 images of 2 classes")
    assert read_classes(tmp_path / "raw" / "classes.json") == ["cat", "dog"]


def test_bad_files_can_stop_the_run(tmp_path: Path) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "cat" / "broken.png").write_bytes(picture(5)[:40])
    with pytest.raises(UserError, match="broken.png"):
        ingest(params(source, on_bad="fail"), raw=tmp_path / "raw")


def test_what_decisions_changed_is_told_and_those_for_other_images_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    ingest(params(source), raw=tmp_path / "raw")
    first = (tmp_path / "raw" / "manifest.csv").read_text("utf-8").splitlines()[1].split(",")
    decisions = f"{first[8]},{first[0]},relabel,dog\n{'0' * 64},gone.png,keep,\n"
    capsys.readouterr()
    ingest(params(source), raw=tmp_path / "raw", decisions=decisions)
    path = tmp_path / "decisions.csv"
    assert capsys.readouterr().out.splitlines()[1:3] == [
        f"ingest: decisions in {path} changed 1 label and left out 0 images",
        f"ingest: warning: 1 of 2 decisions in {path} is about no image of the source",
    ]
    with pytest.raises(UserError, match="'owl', which is no class of the source"):
        ingest(params(source), raw=tmp_path / "raw", decisions=decisions.replace("dog", "owl"))


def several(folder: Path, labels: list[str]) -> Path:
    """Images with several labels each, and their table."""
    table = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    images = {f"{number}.png": picture(number) for number in range(len(labels))}
    return write_tree(folder, images | {"labels.csv": f"file_name,labels\n{table}".encode()})


def test_several_labels_are_told_and_so_is_what_cannot_be_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = several(tmp_path / "photos", ["cat|dog", "dog|cat|emu", "dog|owl|cat", "dog"])
    ingest(params(source, min_images_per_class=2), raw=tmp_path / "raw")
    assert capsys.readouterr().out.splitlines() == [
        "ingest: images have several labels each, or none; empty labels mean none of the classes (ingest.multi_label: false "
        "for one label each)",
        "ingest: labels.csv: its images are named by the column file_name and their classes by labels",
        f"ingest: 4 images of 2 classes from {source}",
        f"ingest: left out of 5 files: 1 ignored as no image, see {tmp_path / 'raw' / 'ignored.csv'}",
        "ingest: left out 2 classes with fewer than 2 images, from the labels of 2 images, which stay: 'emu', 'owl'",
        "ingest: warning: every image has the label 'dog', so there is nothing to learn about it",
    ]
    assert read_label_texts(tmp_path / "raw" / "classes.json") == ["cat|dog", "dog"]


def test_one_label_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(params(several(tmp_path / "photos", ["cat|dog", "dog"]), multi_label=False), raw=tmp_path / "raw")
    assert "several" not in capsys.readouterr().out
    assert read_classes(tmp_path / "raw" / "classes.json") == ["cat|dog", "dog"]


@pytest.mark.parametrize("value", [1, 0, "true", "yes", None])
def test_other_values_for_several_labels_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValidationError):
        params(tmp_path, multi_label=value)
