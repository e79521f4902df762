"""Archives and Parquet files in a bucket, read where they are."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boto3.s3.transfer import TransferConfig
from PIL import Image

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate
from resnet.ingestion import stored as module
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.stored import stored
from tests.pictures import picture, two_classes
from tests.s3_store import BUCKET, Fault, Store


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[Store]:
    with Store() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    two_classes(folder / "photos", each=3)
    made = {
        kind: Path(shutil.make_archive(str(folder / "photos"), kind, folder / "photos")) for kind in ("zip", "tar", "gztar")
    }
    rows = [{"image": {"bytes": picture(n), "path": f"{n}.png"}, "label": "cat" if n % 2 else "dog"} for n in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "photos.parquet")
    for path in (*made.values(), folder / "photos.parquet"):
        boto3.client("s3").upload_file(str(path), BUCKET, f"data/{path.name}")
    return {**made, "parquet": folder / "photos.parquet"}


def content(source: str) -> list[Any]:
    files = open_source(source).files()
    return [(one.path, one.label, one.read()) if isinstance(one, Candidate) else one for one in files]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "parquet"])
def test_a_bucket_gives_the_same_images_as_the_disk(kind: str, files: dict[str, Path]) -> None:
    there = content(f"s3://{BUCKET}/data/{files[kind].name}")
    assert len(there) >= 4
    assert there == content(str(files[kind]))


def test_what_is_not_there_is_one_sentence(files: dict[str, Path]) -> None:
    wanted = r"^s3://bucket/none.zip cannot be read \(.*none.zip\): check the name, the credentials"
    with pytest.raises(UserError, match=wanted):
        stored(f"s3://{BUCKET}/none.zip")
    boto3.client("s3").put_object(Bucket=BUCKET, Key="folder.zip/photo.png", Body=b"")
    with pytest.raises(UserError, match="it is a folder; expected one archive or Parquet file"):
        stored(f"s3://{BUCKET}/folder.zip")


def test_other_kinds_are_refused(files: dict[str, Path]) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="labels.csv", Body=b"path,label")
    with pytest.raises(UserError, match=r"labels.csv is neither an archive .* nor a .parquet by its name"):
        open_source(f"s3://{BUCKET}/labels.csv")


def test_an_object_that_is_replaced_while_it_is_read_is_refused(files: dict[str, Path]) -> None:
    name = f"s3://{BUCKET}/changing.tar"
    client = boto3.client("s3")
    client.upload_file(str(files["tar"]), BUCKET, "changing.tar")
    source = open_source(name)
    client.put_object(Bucket=BUCKET, Key="changing.tar", Body=files["tar"].read_bytes() + bytes(512))
    with pytest.raises(UserError, match="^s3://bucket/changing.tar was replaced while it was read: run the command again"):
        list(source.files())


@pytest.fixture(scope="module")
def bitmaps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Archives of BMPs, which have no checksum, and of a large file that is no image; and a Parquet file of BMPs.

    Each has 21 MB, so it is read in three requests.
    """
    folder = tmp_path_factory.mktemp("bitmaps")
    rows = []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
        label = ("cat", "dog")[number % 2]
        path = folder / "photos" / label / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        rows.append({"image": {"bytes": path.read_bytes(), "path": path.name}, "label": label})
    (folder / "photos" / "notes.txt").write_bytes(bytes(9_000_000))
    archives = {kind: Path(shutil.make_archive(str(folder / "bitmaps"), kind, folder / "photos")) for kind in ("tar", "zip")}
    with ZipFile(archives["zip"], "w") as archive:  # not compressed
        for path in sorted(folder.glob("photos/**/*.*")):
            archive.write(path, path.relative_to(folder / "photos"))
    table = pa.Table.from_pylist([*rows, *rows])
    pq.write_table(table, folder / "bitmaps.parquet", compression="none", use_dictionary=False, row_group_size=3)
    return {**archives, "parquet": folder / "bitmaps.parquet"}


def read(source: str) -> list[bytes]:
    return [one.read() for one in open_source(source).files() if isinstance(one, Candidate)]


@pytest.mark.parametrize("part", [100 << 20, 5 << 20])  # in one request, and in parts
@pytest.mark.parametrize("kind", ["tar", "zip", "parquet"])
def test_a_flipped_bit_on_the_way_is_found_where_the_image_has_no_checksum(
    kind: str, part: int, bitmaps: dict[str, Path], server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCKS_KEPT", 1)  # most blocks are asked for a second time
    upload = TransferConfig(multipart_threshold=part, multipart_chunksize=part)
    url = f"s3://{BUCKET}/bitmaps.{kind}"
    boto3.client("s3").upload_file(str(bitmaps[kind]), BUCKET, f"bitmaps.{kind}", Config=upload)
    with server.failing(Fault("flipped answer", count=0)):
        assert read(url) == read(str(bitmaps[kind]))
        asked = sum(request.startswith("GET") for request in server.requests)
    struck = 0
    for number in range(asked):
        said = ""
        with server.failing(Fault("flipped answer", after=number)):
            try:
                assert read(url) == read(str(bitmaps[kind]))
            except UserError as error:
                said = str(error)
        assert server.struck == bool(said)  # the threads of pyarrow do not always ask as often
        if said:
            struck += 1
            assert said.startswith(f"{url} was received with other bytes than were uploaded")
            assert "run the command again, and if that does not help, upload the file again" in said
    assert struck >= (3 if kind == "tar" else 6)


def test_nothing_is_read_after_damage(bitmaps: dict[str, Path], server: Store) -> None:
    boto3.client("s3").upload_file(str(bitmaps["zip"]), BUCKET, "damaged.zip")
    archive = stored(f"s3://{BUCKET}/damaged.zip")
    with server.failing(Fault("flipped answer", count=99)):  # the same bits each time
        for _ in range(2):
            with pytest.raises(UserError, match="received with other bytes"):
                archive.open().read()


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_a_block_that_is_still_in_memory_is_not_asked_for_again(kind: str, bitmaps: dict[str, Path], server: Store) -> None:
    boto3.client("s3").upload_file(str(bitmaps[kind]), BUCKET, f"bitmaps.{kind}")
    with server.failing(Fault("flipped answer", count=0)):
        read(f"s3://{BUCKET}/bitmaps.{kind}")
        assert sum(request.startswith("GET") for request in server.requests) == -(-bitmaps[kind].stat().st_size // (8 << 20))


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_without_a_sum_of_the_whole_only_what_is_needed_is_read(
    kind: str, bitmaps: dict[str, Path], server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").upload_file(str(bitmaps[kind]), BUCKET, f"bitmaps.{kind}")
    monkeypatch.setattr(module, "kept_sum", lambda *_: None)
    with server.failing(Fault("flipped answer", count=0)):
        file = stored(f"s3://{BUCKET}/bitmaps.{kind}").open("rb")
        file.seek(-10, 2)
        assert file.read() == bitmaps[kind].read_bytes()[-10:]
        assert sum(request.startswith("GET") for request in server.requests) == 1
        assert read(f"s3://{BUCKET}/bitmaps.{kind}") == read(str(bitmaps[kind]))


def test_a_truncated_archive_is_damaged_and_not_unreachable(files: dict[str, Path]) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="short.tar", Body=files["tar"].read_bytes()[:1000])
    with pytest.raises(UserError, match=r"short.tar .*truncated"):
        content(f"s3://{BUCKET}/short.tar")
