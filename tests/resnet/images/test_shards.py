"""Shards of encoded images: what is written comes back, and pyarrow reads the layout of Hugging Face."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from resnet.core.errors import UserError
from resnet.images.shards import ShardWriter, read_encoded

IMAGES = {f"a/{number}.png": bytes([number]) * 1000 for number in range(5)}


def written(folder: Path, shard_bytes: int = 10**6) -> Path:
    folder.mkdir(exist_ok=True)
    with ShardWriter(folder, ["cat", "dog"], shard_bytes) as shards:
        for number, (path, encoded) in enumerate(IMAGES.items()):
            shards.add(path, number % 2, encoded)
    return folder


def test_what_is_written_comes_back_in_order(tmp_path: Path) -> None:
    assert list(read_encoded(written(tmp_path), IMAGES)) == list(IMAGES.values())


def test_the_layout_is_that_of_hugging_face(tmp_path: Path) -> None:
    table = pq.read_table(written(tmp_path) / "images-00000.parquet")
    assert table.column("label").to_pylist() == [0, 1, 0, 1, 0]
    assert table.column("image").to_pylist()[1] == {"bytes": IMAGES["a/1.png"], "path": "a/1.png"}
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["cat", "dog"], "_type": "ClassLabel"}


def test_the_same_images_make_the_same_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name) / "images-00000.parquet" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_shard_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.images.shards._GROUP_IMAGES", 2)
    folder = written(tmp_path, shard_bytes=2000)
    assert [pq.read_metadata(path).num_rows for path in sorted(folder.iterdir())] == [2, 2, 1]
    assert list(read_encoded(folder, IMAGES)) == list(IMAGES.values())


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a/0.png", "b/1.png"], "lists b/1.png where its shards hold a/1.png"),
        ([*IMAGES, "a/9.png"], "lists a/9.png where its shards hold nothing"),
        (["a/0.png"], "more than the 1 image that"),
    ],
)
def test_shards_that_do_not_fit_the_manifest_are_refused(paths: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        list(read_encoded(written(tmp_path), paths))


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "images-00000.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"images-00000\.parquet"):
        list(read_encoded(tmp_path, IMAGES))
