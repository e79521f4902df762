"""Reads the rows of Parquet files, and of the Arrow files that `datasets.Dataset.save_to_disk` writes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resnet.core.errors import UserError

SUFFIXES = (".parquet", ".arrow")
_BATCH_ROWS = 64  # rows in memory at a time
_ARROW_FILE = b"ARROW1"  # how a file of Arrow's file format begins; `datasets` writes the stream format


def read_schema(path: Path) -> pa.Schema:
    """The schema of a file.

    Raises:
        UserError: the file is damaged or of another kind.
    """
    try:
        schema = _schema(path)
        for field in schema:  # pyarrow decodes a name when it is asked for it
            _ = field.name, [inner.name for inner in field.type] if pa.types.is_struct(field.type) else []
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "an Arrow" if _is_arrow(path) else "a Parquet"
        raise UserError(f"{path} is damaged or not {kind} file ({str(error).splitlines()[0]}); fetch it again.") from error
    return schema


def _schema(path: Path) -> pa.Schema:
    if not _is_arrow(path):
        return pq.read_schema(_readable(path))
    with _opened(path) as reader:
        return reader.schema


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file, with some of its columns.

    Raises:
        UserError: the file is damaged.
    """
    try:
        for batch in _batches(path, list(columns)):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}); fetch it again.") from error


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if not _is_arrow(path):
        # With the default, pre_buffer=True, the whole file is read into memory at once. Spark writes checksums of pages.
        file = pq.ParquetFile(_readable(path), pre_buffer=False, page_checksum_verification=True)
        yield from file.iter_batches(_BATCH_ROWS, columns=columns)
        return
    with _opened(path) as reader:
        stream = isinstance(reader, pa.RecordBatchStreamReader)
        batches = iter(reader) if stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
        for whole in batches:
            batch = whole.select(columns)
            batch.validate(full=True)  # Arrow trusts the offsets in a file, which could lead outside it
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield batch.slice(start, _BATCH_ROWS)


def _readable(path: Path) -> Any:
    """What pyarrow reads: the path of a file on the disk, or an open object of a bucket."""
    return path if isinstance(path, Path) else path.open("rb")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with pa.memory_map(str(path)) as file:
        is_file = file.read(len(_ARROW_FILE)) == _ARROW_FILE
        file.seek(0)
        yield pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)


def _is_arrow(path: Path) -> bool:
    return path.suffix.casefold() == ".arrow"
