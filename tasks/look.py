"""Writes `reports/data.html`, a look at the data: `python -m tasks.look`, once `preprocess` has run.

The stage `render` writes the same page. This command does not wait for the training.
"""

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.data.checksums import verify
from resnet.data.classes import read_classes
from resnet.errors import UserError, damaged_input, missing_input
from resnet.files import replacing
from tasks.graph import DVC_YAML, read_graph, stage_paths
from tasks.tables import read_table

if TYPE_CHECKING:
    from resnet.pictures.data_report import DataSet

_TEXT = {"path": "str", "label": "str", "split": "str"}


def read_data(
    *,
    raw_sha256: Path,
    manifest_csv: Path,
    rejected_csv: Path,
    duplicates_csv: Path,
    ignored_csv: Path,
    prepared_sha256: Path,
    classes_json: Path,
    index_csv: Path,
    near_duplicates_csv: Path,
    thumbnails_parquet: Path,
) -> "DataSet":
    """What `ingest` and `preprocess` found."""
    verify(raw_sha256, [path.name for path in (manifest_csv, rejected_csv, duplicates_csv, ignored_csv)])
    verify(prepared_sha256, [path.name for path in (classes_json, index_csv, near_duplicates_csv, thumbnails_parquet)])
    from resnet.pictures.data_report import DataSet

    sizes = {"width": "int", "height": "int"}
    return DataSet(
        classes=read_classes(classes_json),
        manifest=read_table(manifest_csv, _TEXT | {"group": "str"} | sizes | {"format": "str", "flags": "str"}),
        rejected=read_table(rejected_csv, {"path": "str", "reason": "str", "detail": "str"}),
        duplicates=read_table(duplicates_csv, {"path": "str", "duplicate_of": "str"}),
        ignored=read_table(ignored_csv, {"path": "str"}),
        index=read_table(index_csv, _TEXT | {"row": "int"}),
        near_duplicates=read_table(
            near_duplicates_csv, {"path": "str", "split": "str", "other": "str", "other_split": "str", "distance": "int"}
        ),
        thumbnails=_thumbnails(thumbnails_parquet),
    )


def look(data: "DataSet", data_html: Path) -> None:
    """Writes the page of the data."""
    from resnet.pictures.data_report import render_data_report

    page = render_data_report(data)
    with replacing(data_html) as partial:
        partial.write_text(page, encoding="utf-8")


def _thumbnails(path: Path) -> dict[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["path", "jpeg"])
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (pa.ArrowException, OSError) as error:
        raise damaged_input(path, error) from error
    return dict(zip(table["path"].to_pylist(), table["jpeg"].to_pylist(), strict=True))


def main() -> int:
    """Returns the exit code."""
    try:
        paths = {path.name.replace(".", "_"): path for path in stage_paths(read_graph(DVC_YAML)["render"])}
        look(read_data(**{name: paths[name] for name in inspect.signature(read_data).parameters}), paths["data_html"])
    except UserError as error:
        print(f"look: {error}", file=sys.stderr)
        return 1
    print(f"look: {paths['data_html']} shows the data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
