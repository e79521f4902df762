"""WebDataset's tar archives as sources."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Outcome, Reason, Rejected
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.webdataset import webdataset_source
from tests.pictures import picture


def tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(*labels: str, first: int = 0) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, label in enumerate(labels, first):
        found |= {f"{number:06d}.jpg": picture(number, kind="JPEG"), f"{number:06d}.cls": label.encode()}
    return found


def labels(found: list[Outcome]) -> list[tuple[str, str, str | None]]:
    return [(file.path, file.label, file.split) for file in found if isinstance(file, Candidate)]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_class_file_beside_each_image_is_its_label(tmp_path: Path, name: str) -> None:
    source = open_source(str(tar(tmp_path / name, samples("10", "2", "10\n"))))
    assert source.classes == ["2", "10"]
    found = list(source.files())
    assert labels(found) == [("000000.jpg", "10", None), ("000001.jpg", "2", None), ("000002.jpg", "10", None)]
    assert found[1] == Ignored("000000.cls")
    assert [file.read() for file in found if isinstance(file, Candidate)] == [picture(n, kind="JPEG") for n in range(3)]


def test_names_end_at_the_first_dot_of_the_file(tmp_path: Path) -> None:
    members = {"v1.0/a.img.png": picture(1), "v1.0/a.cls.txt": b"cat", "v1.0/b.img.png": picture(2), "v1.0/b.cls.txt": b"dog"}
    source = open_source(str(tar(tmp_path / "x.tar", members)))
    assert labels(list(source.files())) == [("v1.0/a.img.png", "cat", None), ("v1.0/b.img.png", "dog", None)]


def test_a_label_may_be_in_json(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number, name in enumerate(("cat", "dog")):
        members |= {
            f"{number}.png": picture(number),
            f"{number}.json": json.dumps({"label": name, "width": 7, "tags": []}).encode(),
        }
    path = tar(tmp_path / "x.tar", members)
    assert labels(list(open_source(str(path)).files())) == [("0.png", "cat", None), ("1.png", "dog", None)]
    chosen = open_source(str(path), label_column="width")
    assert chosen.classes == ["7"]


def test_shards_of_a_folder_are_splits(tmp_path: Path) -> None:
    for name, first in (("train-000000", 0), ("train-000001", 2), ("test-000000", 4)):
        tar(tmp_path / f"{name}.tar", samples("cat", "dog", first=first))
    found = labels(list(open_source(str(tmp_path)).files()))
    assert [(path, split) for path, _, split in found][::2] == [
        ("test-000000.tar/000004.jpg", "test"),
        ("train-000000.tar/000000.jpg", "training"),
        ("train-000001.tar/000002.jpg", "training"),
    ]
    assert len(found) == 6


def test_images_without_a_label_are_listed(tmp_path: Path) -> None:
    members = samples("cat", "dog", "-1") | {"9.png": picture(9), "../out.jpg": b"1"}
    found = list(open_source(str(tar(tmp_path / "x.tar", members))).files())
    rejected = {file.path: file.reason for file in found if isinstance(file, Rejected)}
    assert rejected == {"000002.jpg": Reason.UNLABELLED, "9.png": Reason.NO_LABEL, "../out.jpg": Reason.NAME_NOT_USABLE}


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("0.cls", b"\xff\xfe", "the label 0.cls in .*x.tar cannot be read: it is not in UTF-8"),
        ("0.cls", b"x" * 5000, "cannot be read: 5,000 bytes; at most 4,096 are read"),
        ("0.json", b"{", "0.json in .*x.tar is not JSON"),
        ("0.json", b"[" * 100_000, "0.json in .*x.tar is not JSON"),
        ("0.json", b" " * (2 << 20), "at most 1,048,576 are read"),
        ("0.json", b'{"class": "a", "category": "b"}', "several columns that may name the class, class, category"),
    ],
)
def test_a_hostile_label_is_refused(tmp_path: Path, member: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(str(tar(tmp_path / "x.tar", {"0.png": picture(0), member: content})))


def test_class_folders_in_a_tar_are_class_folders(tmp_path: Path) -> None:
    members = {"cat/1.png": picture(1), "cat/1.json": b"{}", "dog/2.png": picture(2)}
    assert open_source(str(tar(tmp_path / "x.tar", members))).classes == ["cat", "dog"]


def test_json_beside_images_without_a_label_is_refused_with_the_parameter(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"1.png": picture(1), "1.json": b'{"caption": "a cat"}'})
    with pytest.raises(UserError, match="no .json file with a field label or class: .* name the field in ingest.label_column"):
        open_source(str(path))


def test_json_of_a_whole_data_set_is_no_label(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "x.tar", {"images/1.png": picture(1), "images/2.png": picture(2), "annotations.json": b"x" * (2 << 20)}
    )
    assert open_source(str(path)).classes in ([], ["images"])


def test_numbers_of_json_are_classes_as_in_a_table(tmp_path: Path) -> None:
    values = ["1", "1.0", "NaN", "true", "-1.0", "13.5"]
    members = {f"{n}.jpg": picture(n, kind="JPEG") for n in range(6)}
    members |= {f"{n}.json": f'{{"label": {value}}}'.encode() for n, value in enumerate(values)}
    shard = tar(tmp_path / "x.tar", members)
    source = webdataset_source(shard, [shard], Choice())
    assert source.classes == ["1", "true"]
    found = list(source.files())
    assert [label for _, label, _ in labels(found)] == ["1", "1", "true"]
    assert [(file.path, file.reason) for file in found if isinstance(file, Rejected)] == [
        ("2.jpg", Reason.UNLABELLED),
        ("4.jpg", Reason.UNLABELLED),
        ("5.jpg", Reason.NO_LABEL),
    ]
