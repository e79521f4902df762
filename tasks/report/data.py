"""Reads the tables that `ingest` and `preprocess` write, for the pages of results and of data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.checksums import RAW, read_sums, verify
from resnet.core.classes import read_classes, read_label_sets
from resnet.core.errors import damaged_input, missing_input
from resnet.core.files import replacing
from resnet.core.tables import read_table

if TYPE_CHECKING:
    from resnet.pictures.data_report import DataSet

_DECIDED = {"path": "str", "given": "str", "decision": "str", "label": "str"}
_TEXT = {"path": "str", "label": "str", "split": "str"}


@dataclass(frozen=True)
class RawTables:
    """The tables of `data/raw/`.

    Attributes:
        raw: the output folder of `ingest`.
    """

    raw: Path

    @property
    def manifest_csv(self) -> Path:
        """A line for each image."""
        return self.raw / "manifest.csv"

    @property
    def rejected_csv(self) -> Path:
        """Files that are not usable images."""
        return self.raw / "rejected.csv"

    @property
    def duplicates_csv(self) -> Path:
        """Images with the same pixels as another one."""
        return self.raw / "duplicates.csv"

    @property
    def ignored_csv(self) -> Path:
        """Files that were not expected to be images."""
        return self.raw / "ignored.csv"

    @property
    def decided_csv(self) -> Path | None:
        """What became of people's decisions about labels; None if there are no decisions."""
        path = self.raw / "decided.csv"
        return path if path.name in read_sums(self.raw / RAW) else None

    def verify(self) -> None:
        """Raises `UserError` if a table differs from its checksum."""
        tables = (self.manifest_csv, self.rejected_csv, self.duplicates_csv, self.ignored_csv, self.decided_csv)
        verify(self.raw / RAW, [path.name for path in tables if path])


@dataclass(frozen=True)
class PreparedTables:
    """The tables of `data/prepared/`."""

    prepared_sha256: Path
    classes_json: Path
    index_csv: Path
    near_duplicates_csv: Path
    thumbnails_parquet: Path

    def verify(self) -> None:
        """Raises `UserError` if a table differs from its checksum."""
        tables = (self.classes_json, self.index_csv, self.near_duplicates_csv, self.thumbnails_parquet)
        verify(self.prepared_sha256, [path.name for path in tables])


def read_data(raw: RawTables, prepared: PreparedTables) -> "DataSet":
    """Reads the tables of `ingest` and `preprocess`.

    Raises:
        UserError: a table is missing or differs from its checksum.
    """
    raw.verify()
    prepared.verify()
    from resnet.pictures.data_report import DataSet

    sizes = {"width": "int", "height": "int"}
    pairs = {"path": "str", "split": "str", "other": "str", "other_split": "str", "distance": "int"}
    return DataSet(
        classes=read_classes(prepared.classes_json),
        manifest=read_table(raw.manifest_csv, _TEXT | {"group": "str"} | sizes | {"format": "str", "flags": "str"}),
        rejected=read_table(raw.rejected_csv, {"path": "str", "reason": "str", "detail": "str"}),
        duplicates=read_table(raw.duplicates_csv, {"path": "str", "duplicate_of": "str"}),
        ignored=read_table(raw.ignored_csv, {"path": "str"}),
        index=read_table(prepared.index_csv, _TEXT | {"row": "int"}),
        near_duplicates=read_table(prepared.near_duplicates_csv, pairs),
        thumbnails=_read_thumbnails(prepared.thumbnails_parquet),
        decided=read_table(raw.decided_csv, _DECIDED) if raw.decided_csv else None,
        multi_label=read_label_sets(prepared.classes_json) is not None,
    )


def write_data_page(data: "DataSet", data_html: Path) -> None:
    """Writes the page about the data."""
    from resnet.pictures.data_report import render_data_report

    page = render_data_report(data)
    with replacing(data_html) as partial:
        partial.write_text(page, encoding="utf-8")


def _read_thumbnails(path: Path) -> dict[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["path", "jpeg"])
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (pa.ArrowException, OSError) as error:
        raise damaged_input(path, error) from error
    return dict(zip(table["path"].to_pylist(), table["jpeg"].to_pylist(), strict=True))
