"""Archives of images with a table of their classes as sources."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from resnet.images.outcomes import BadFile, Outcome, Rejected
from resnet.ingestion.archives.reading import Member, read_archive
from resnet.ingestion.sources.archive import names_in
from resnet.ingestion.sources.columns import NotATable
from resnet.ingestion.sources.places import Listed
from resnet.ingestion.sources.rows import TableFile
from resnet.ingestion.sources.source import Source
from resnet.ingestion.sources.table import ImageTable, Listing, check_rows, outcome, unlisted

_MAX_BYTES = 256 << 20  # of all tables together


def listed(path: Path) -> Listed:
    """The names of the files in an archive, including those that cannot be read."""
    return Listed(name for name, is_folder in names_in(path) if not is_folder)


def read_tables(path: Path, names: list[str]) -> Callable[[str], TableFile]:
    """Reads tables of an archive into memory.

    Returns:
        Opens a table by its name in the archive; raises `NotATable` for one that cannot be read.
    """
    wanted, left = set(names), _MAX_BYTES
    found: dict[str, TableFile] = {}
    for item in read_archive(path, contents=wanted.__contains__):
        if not isinstance(item, Member) or item.name not in wanted:
            continue
        try:
            content = item.read()
        except BadFile:
            continue
        left -= len(content)
        if left >= 0:
            found[item.name] = TableFile(item.name, f"{item.name} in {path}", partial(io.BytesIO, content))

    def opened(name: str) -> TableFile:
        if name not in found:
            raise NotATable(f"{name} in {path} cannot be read as a table; unpack the archive, or create it again.")
        return found[name]

    return opened


def archived_source(path: Path, tables: list[ImageTable]) -> Source:
    """The images of an archive that its tables list. Other images have no label; other files are ignored.

    Raises:
        UserError: as `resnet.ingestion.sources.table.table_source`.
    """
    listing = check_rows(tables)
    return Source(listing.classes, partial(_files, path, listing), listing.notes(), multi_label=listing.multi_label)


def _files(path: Path, listing: Listing) -> Iterator[Outcome]:
    rows = {row.path: row for row in listing.rows()}
    for item in read_archive(path):
        if isinstance(item, Rejected):
            yield item
        elif isinstance(item, Member):
            row = rows.get(item.name)
            yield unlisted(item.name) if row is None else outcome(row, item.read)
