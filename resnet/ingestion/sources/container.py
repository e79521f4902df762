"""Folders and archives that hold images with tables or class folders: what both have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnet.ingestion.sources.archived_table import archived_source, listed, read_tables
from resnet.ingestion.sources.folder import folder_source
from resnet.ingestion.sources.places import Disk, Place
from resnet.ingestion.sources.rows import TableFile
from resnet.ingestion.sources.source import Source
from resnet.ingestion.sources.table import ImageTable, on_disk, tables_source


@dataclass(frozen=True)
class Container:
    """A folder or an archive with images.

    Attributes:
        path: of the folder or archive.
        place: the names in it.
        table: opens a table by its path within it.
        class_folders: opens it as a source of class folders.
        listed: opens it as a source of the images that these tables list.
    """

    path: Path
    place: Place
    table: Callable[[str], TableFile]
    class_folders: Callable[[], Source]
    listed: Callable[[list[ImageTable]], Source]


def folder_container(path: Path, class_level: int | None = None) -> Container:
    """A folder on a disk; `class_level` is as for `folder_source`."""
    return Container(
        path,
        Disk(path),
        partial(on_disk, path),
        partial(folder_source, path, class_level=class_level),
        partial(tables_source, path),
    )


def archive_container(path: Path, tables: list[str], class_folders: Callable[[], Source]) -> Container:
    """An archive.

    Args:
        path: the archive.
        tables: the paths of tables in it; no others can be opened.
        class_folders: opens it as a source of class folders.
    """
    return Container(path, listed(path), read_tables(path, tables), class_folders, partial(archived_source, path))
