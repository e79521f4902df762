"""Rows of Parquet and Arrow files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.row_files import read_rows, read_schema

TABLE = pa.table({"a": [bytes([n]) * 20 for n in range(150)], "b": list(range(150))})


def write(folder: Path, kind: str, table: pa.Table = TABLE) -> Path:
    path = folder / ("x.parquet" if kind == "parquet" else "x.arrow")
    if kind == "parquet":
        pq.write_table(table, path)
        return path
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return path


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_rows_come_in_their_order(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    assert read_schema(path).names == ["a", "b"]
    assert list(read_rows(path, ["b"])) == [{"b": number} for number in range(150)]
    assert next(read_rows(path, ["a", "b"])) == {"a": bytes(20), "b": 0}


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-2500])
    with pytest.raises(UserError, match="is damaged"):
        read_schema(path)
        list(read_rows(path, ["a"]))


def test_a_flipped_bit_is_found_where_pages_have_checksums(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(TABLE, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(bytes([77]) * 20)] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged .*(CRC|checksum)"):
        list(read_rows(path, ["a"]))


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_another_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match=f"{name} is damaged or not an? (Parquet|Arrow) file"):
        read_schema(tmp_path / name)


def test_offsets_that_lead_outside_the_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "stream")
    content = bytearray(path.read_bytes())
    at = content.index((40).to_bytes(4, "little") + (60).to_bytes(4, "little"))  # the ends of the second and third value
    content[at : at + 4] = (2**30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        list(read_rows(path, ["a"]))


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_names_of_columns_that_are_no_text_are_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, pa.table({"column_x": [{"inner_y": 1}]}))
    for name in (b"column_x", b"inner_y"):
        content = path.read_bytes()
        path.write_bytes(content.replace(name, b"\xff" * len(name)))
        with pytest.raises(UserError, match="is damaged or not an? (Arrow|Parquet) file"):
            read_schema(path)
        path.write_bytes(content)
