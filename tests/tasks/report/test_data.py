"""Reading the tables of `ingest` and `preprocess`."""

from functools import partial
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from tasks.preprocess import preprocess
from tasks.report.data import PreparedTables, RawTables, read_data, write_data_page
from tests.parameters import PREPROCESS
from tests.pictures import picture
from tests.tasks.results import bundle, write_results


@pytest.fixture
def tables(tmp_path: Path) -> tuple[RawTables, PreparedTables]:
    write_results(tmp_path)
    return RawTables(tmp_path / "raw"), bundle(PreparedTables, tmp_path)


def test_names_stay_text_and_numbers_become_numbers(tables: tuple[RawTables, PreparedTables]) -> None:
    data = read_data(*tables)
    assert data.classes == ["7", "nan"]
    assert data.manifest["label"].tolist() == ["7", "nan"]
    assert data.manifest["width"].tolist() == [8, 8]
    assert data.rejected.to_dict("records") == [{"path": "c", "reason": "empty", "detail": "no bytes"}]
    assert data.duplicates["duplicate_of"].tolist() == ["a"]
    assert data.ignored["path"].tolist() == ["README"]
    assert data.index["row"].tolist() == [0, 1]
    assert data.near_duplicates["distance"].tolist() == [3]
    assert data.thumbnails["a"].startswith(b"\xff\xd8\xff")  # JPEG


@pytest.mark.parametrize("name", ["raw/manifest.csv", "raw/rejected.csv", "raw/duplicates.csv", "raw/ignored.csv", "index.csv"])
def test_a_changed_table_is_refused(tables: tuple[RawTables, PreparedTables], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(UserError, match=Path(name).name):
        read_data(*tables)


def test_the_page_shows_the_data(tables: tuple[RawTables, PreparedTables], tmp_path: Path) -> None:
    write_data_page(read_data(*tables), tmp_path / "data.html")
    assert "no bytes" in (tmp_path / "data.html").read_text("utf-8")


def test_several_labels_are_known_by_the_classes(tmp_path: Path) -> None:
    labels = ["cat|dog", "dog", ""] * 6
    files = [Candidate(f"{n:02d}", label, partial(picture, n)) for n, label in enumerate(labels)]
    write_raw(tmp_path / "raw", Source(["cat", "dog"], lambda: iter(files), multi_label=True), max_pixels=10**6)
    preprocess(PREPROCESS, raw=tmp_path / "raw", prepared=tmp_path / "prepared")
    data = read_data(RawTables(tmp_path / "raw"), bundle(PreparedTables, tmp_path / "prepared"))
    assert data.multi_label
    assert data.classes == ["cat", "dog"]
    assert data.index["label"].tolist() == labels
