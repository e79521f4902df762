"""What `ingest` prints about a source."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tasks.ingest import Ingest, ingest
from tests.pictures import picture, two_classes


def params(source: Path, **changes: object) -> Ingest:
    columns = {"path_column": "auto", "label_column": "auto", "image_folder": "auto"}
    values = {"source": str(source), "on_bad": "quarantine", "max_rejected": 0.5, "max_pixels": 10**6} | columns | changes
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
    assert f"see {raw / 'rejected.csv'}; 1 duplicate, see {raw / 'duplicates.csv'}; 1 ignored, see" in line


def test_a_class_without_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "owl").mkdir()
    (source / "owl" / "broken.png").write_bytes(picture(5)[:40])
    ingest(params(source), raw=tmp_path / "raw")
    assert "ingest: without an image: 'owl'; preprocess will refuse them" in capsys.readouterr().out


def test_bad_files_can_stop_the_run(tmp_path: Path) -> None:
    source = two_classes(tmp_path / "photos", each=3)
    (source / "cat" / "broken.png").write_bytes(picture(5)[:40])
    with pytest.raises(UserError, match="broken.png"):
        ingest(params(source, on_bad="fail"), raw=tmp_path / "raw")
