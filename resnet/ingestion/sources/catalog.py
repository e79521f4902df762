"""Chooses the kind of source by name or path."""

from pathlib import Path

from resnet.core.errors import UserError
from resnet.ingestion.sources.source import Source

TABLE_IN_FOLDER = "labels.csv"
KINDS = (
    "digits, a folder of class folders, a .zip, .tar, .tar.gz or .tar.xz of one, a .csv with the columns path and label, "
    "Parquet in the Hugging Face image layout, or tfds:NAME"
)


def open_source(name: str, *, class_level: int | None = None) -> Source:
    """Opens the source with a name or path.

    A folder with a `labels.csv` is read as that table. A folder with Parquet files in it or in its `data/` is read as those.
    Every other folder is read as a folder of class folders.

    Args:
        name: the source.
        class_level: for folders and archives, the level of the folders that name the classes; None to find it.

    Raises:
        UserError: there is no such source, its kind is unknown, or its content is not as expected.
    """
    if name == "builtin/digits":
        from resnet.ingestion.sources.digits import digits

        return digits()
    if name.startswith("tfds:"):
        from resnet.ingestion.sources.tfds import tfds_source

        return tfds_source(name.removeprefix("tfds:"))
    path = Path(name)
    if not path.exists():
        raise UserError(f"the source {name} does not exist in {Path.cwd()}; expected {KINDS}.")
    return _folder(path, class_level) if path.is_dir() else _file(path, class_level)


def _folder(path: Path, class_level: int | None) -> Source:
    if (path / TABLE_IN_FOLDER).is_file():
        from resnet.ingestion.sources.table import table_source

        return table_source(path / TABLE_IN_FOLDER, whole_folder=True)
    if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
        from resnet.ingestion.sources.parquet import parquet_source

        return parquet_source(path)
    from resnet.ingestion.sources.folder import folder_source

    return folder_source(path, class_level=class_level)


def _file(path: Path, class_level: int | None) -> Source:
    from resnet.ingestion.archives.reading import is_archive

    if path.suffix.casefold() == ".csv":
        from resnet.ingestion.sources.table import table_source

        return table_source(path)
    if path.suffix.casefold() == ".parquet":
        from resnet.ingestion.sources.parquet import parquet_source

        return parquet_source(path)
    if is_archive(path):
        from resnet.ingestion.sources.archive import archive_source

        return archive_source(path, class_level=class_level)
    raise UserError(f"the source {path} is of no known kind; expected {KINDS}.")
