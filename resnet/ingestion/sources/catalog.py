"""Chooses the kind of source by name or path."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import UserError
from resnet.ingestion.sources.columns import AUTO, Choice
from resnet.ingestion.sources.sightings import Sightings, look
from resnet.ingestion.sources.source import Source
from resnet.ingestion.stored import SCHEME, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet.ingestion.sources.container import Container
    from resnet.ingestion.sources.conventions import Tables

KINDS = (
    "builtin/digits, a folder of class folders, an archive (.zip, .tar, .tar.gz) of one, a table (.csv, .tsv, .jsonl) with the "
    "columns path and label, Parquet in the Hugging Face image layout, .npz, IDX as of MNIST, WebDataset, or tfds:NAME"
)


def open_source(
    name: str,
    *,
    class_level: int | None = None,
    path_column: str = AUTO,
    label_column: str = AUTO,
    image_folder: str = AUTO,
    multi_label: bool | None = None,
) -> Source:
    """Opens the source with a name or path.

    A folder may hold class folders, a table of the images (`labels.csv`, `metadata.csv`, `train.csv` and so on), or Parquet,
    Arrow, IDX, NumPy or WebDataset files.

    Args:
        name: built-in name, name of TensorFlow Datasets, file, folder, or archive or Parquet file in a bucket (`s3://`).
        class_level: for folders and archives, the level of the folders that name the classes; None to find it.
        path_column: the column of a table that names the images; "auto" chooses by the names of the columns.
        label_column: the column with the classes.
        image_folder: the folder that the paths of a table start from.
        multi_label: whether images may have several labels each; None leaves it to what the labels look like, see
            `resnet.ingestion.sources.label_cells`.

    Raises:
        UserError: there is no such source, its kind is unknown, its content is not as expected, or its images are to have
            several labels, and sources of this kind give one.
    """
    source = _opened(name, Choice(path_column, label_column, image_folder, multi_label), class_level)
    if multi_label and not source.multi_label:
        raise UserError(
            f"ingest.multi_label is true, but the source {name} gives each image one class; expected a table (.csv, .tsv, "
            ".jsonl), a .parquet or an .npz with several labels of an image: name one, or set the parameter to auto."
        )
    return source


def _opened(name: str, choice: Choice, class_level: int | None) -> Source:
    if name == "builtin/digits":
        from resnet.ingestion.sources.digits import digits

        return digits()
    if name.startswith("tfds:"):
        from resnet.ingestion.sources.tfds import tfds_source

        return tfds_source(name.removeprefix("tfds:"))
    if name.startswith(SCHEME):
        return _stored(name, choice, class_level)
    path = Path(name)
    if not path.exists():
        raise UserError(f"the source {name} does not exist in {Path.cwd()}; expected {KINDS}.")
    return _folder(path, choice, class_level) if path.is_dir() else _file(path, choice, class_level)


def _stored(url: str, choice: Choice, class_level: int | None) -> Source:
    from resnet.ingestion.sources.parquet import parquet_source

    path = stored(url)
    if path.suffix.casefold() == ".parquet":
        return parquet_source(path, choice)
    return _archive(path, choice, class_level)


def _folder(path: Path, choice: Choice, class_level: int | None) -> Source:
    from resnet.ingestion.sources.container import folder_container
    from resnet.ingestion.sources.conventions import find_tables

    container = folder_container(path, class_level)
    tables = find_tables(container.place, choice, container.table)
    if tables.have_labels:
        return _listed(container, tables)
    seen = look(path)
    if not seen.files and not seen.has_images and seen.complete:
        return _none(path, seen, None, None)
    other = None if tables.found else _other_files(path, seen, choice)
    return other or _class_folders(container, choice, tables, seen)


def _listed(container: "Container", tables: "Tables") -> Source:
    source = container.listed(tables.found)
    used = [table.file.path for table in tables.found]
    others = [path for path in _tables_too(container) if path not in used]
    notes = (f"{path} names classes too, but {used[0]} is used; to use it, name it as ingest.source" for path in others)
    return replace(source, notes=(*source.notes, *tables.notes, *notes))


def _file(path: Path, choice: Choice, class_level: int | None) -> Source:
    from resnet.ingestion.archives.reading import has_archive_name, is_archive
    from resnet.ingestion.sources import row_files, rows
    from resnet.ingestion.sources.idx import idx_source, is_idx
    from resnet.ingestion.sources.npz import npz_source
    from resnet.ingestion.sources.strangers import is_known, refuse_file

    name = path.name.casefold()
    if is_idx(name):
        return idx_source(path)
    if name.endswith(".npz"):
        return npz_source(path, choice=choice)
    if name.endswith(rows.SUFFIXES):
        from resnet.ingestion.sources.table import table_source

        return table_source(path, choice)
    if name.endswith(row_files.SUFFIXES):
        from resnet.ingestion.sources.parquet import parquet_source

        return parquet_source(path, choice)
    if has_archive_name(path) or (not is_known(path) and is_archive(path)):
        return _archive(path, choice, class_level)
    raise refuse_file(path, KINDS)


def _archive(path: Path, choice: Choice, class_level: int | None) -> Source:
    from resnet.ingestion.sources.archive import archive_source, names_in
    from resnet.ingestion.sources.container import archive_container
    from resnet.ingestion.sources.conventions import find_tables
    from resnet.ingestion.sources.strangers import refuse_pickles
    from resnet.ingestion.sources.webdataset import webdataset_source

    seen = Sightings()
    folders, failure = _attempt(partial(archive_source, path, seen.watch(names_in(path)), class_level=class_level))
    if not seen.complete:  # the archive is damaged
        return _given(None, failure)
    if seen.pickles and not seen.has_images:
        raise refuse_pickles(path, seen.pickles)
    if seen.labels or (seen.objects and seen.has_images and (folders is None or len(folders.classes) < 2)):
        return webdataset_source(path, [path], choice)
    if not seen.tables:
        return folders if folders is not None and len(folders.classes) > 1 else _none(path, seen, folders, failure)
    container = archive_container(path, seen.tables, partial(_given, folders, failure))
    tables = find_tables(container.place, choice, container.table)
    return _listed(container, tables) if tables.have_labels else _class_folders(container, choice, tables, seen)


def _class_folders(container: "Container", choice: Choice, tables: "Tables", seen: Sightings) -> Source:
    """Class folders, with what a table says about them; if there are none, the only table that describes the images."""
    from resnet.ingestion.sources.conventions import only_table
    from resnet.ingestion.sources.overlay import beside_tables, with_tables
    from resnet.ingestion.sources.strangers import refuse_content

    folders, failure = _attempt(container.class_folders)
    passed_over = list(tables.passed_over.values())
    if folders is None or len(folders.classes) < 2:
        only = only_table(container.place, choice, container.table)
        if only:
            return container.listed(only)
        return _none(container.path, seen, folders, passed_over[0] if passed_over else failure)
    unfit = refuse_content(container.path, seen)
    if unfit is not None:
        raise unfit
    if tables.found:
        folders = with_tables(folders, tables.found)
    elif passed_over and choice != Choice():
        raise passed_over[0]
    notes = {path: f"the classes are those of the folders, because {error}" for path, error in tables.passed_over.items()}
    for other in _tables_too(container):
        notes[other] = f"{other} names classes too, but those of the folders are used; to use it, name it as ingest.source"
    return beside_tables(folders, notes) if notes else folders


def _tables_too(container: "Container") -> list[str]:
    """Tables of other names that describe the images of class folders."""
    from resnet.ingestion.sources.conventions import other_tables

    try:
        return [table.file.path for table in other_tables(container.place, Choice(), container.table)]
    except UserError:  # it cannot be read, which matters only if it is the source
        return []


def _none(path: Path, seen: Sightings, folders: Source | None, failure: UserError | None) -> Source:
    """The end of the search: the error that says most, or class folders of which there are too few."""
    from resnet.ingestion.sources.strangers import refuse_content

    if failure is None and folders is not None and not folders.classes and seen.has_images:
        failure = UserError(
            f"the source {path} has images, but neither a folder for each class nor a table of their classes: put the images "
            "of each class into a folder of its own, or add labels.csv with the columns path and label."
        )
    return _given(folders, refuse_content(path, seen) or failure)


def _other_files(path: Path, seen: Sightings, choice: Choice) -> Source | None:
    """The source in a folder of Parquet, Arrow, IDX, NumPy or WebDataset files."""
    from resnet.ingestion.sources import row_files
    from resnet.ingestion.sources.idx import idx_source, is_idx
    from resnet.ingestion.sources.npz import npz_source
    from resnet.ingestion.sources.parquet import hold_images, parquet_source
    from resnet.ingestion.sources.strangers import refuse_pickles

    near = [*path.glob("*.parquet"), *path.glob("data/*.parquet")]
    if near and (not seen.has_images or hold_images(near)):
        return parquet_source(path, choice)
    if seen.has_images:
        return None
    files = [path / name for name in seen.files]
    if any(file.name.casefold().endswith(row_files.SUFFIXES) for file in files):
        return parquet_source(path, choice)
    idx = [file for file in files if is_idx(file.name)]
    if idx:
        return idx_source(path, idx)
    npz = [file for file in files if file.name.casefold().endswith(".npz")]
    if npz:
        return npz_source(path, npz, choice)
    if seen.pickles:
        raise refuse_pickles(path, seen.pickles)
    return _shards(path, files, choice)


def _shards(path: Path, files: list[Path], choice: Choice) -> Source | None:
    """The WebDataset in a folder; None if its archives, if any, have no labels for single images."""
    from resnet.ingestion.archives.reading import has_archive_name
    from resnet.ingestion.sources.archive import names_in
    from resnet.ingestion.sources.webdataset import webdataset_source

    shards = [file for file in files if has_archive_name(file) and not file.name.casefold().endswith(".zip")]
    if not shards:
        return None
    seen = Sightings()
    for name, is_folder in names_in(shards[0]):
        if not is_folder:
            seen.add(name)
    return webdataset_source(path, shards, choice) if seen.has_images and (seen.labels or seen.objects) else None


def _attempt(open_it: "Callable[[], Source]") -> tuple[Source | None, UserError | None]:
    try:
        return open_it(), None
    except UserError as error:
        return None, error


def _given(source: Source | None, error: UserError | None) -> Source:
    if error is not None or source is None:
        raise error or UserError("no source was found.")
    return source
