"""Zip and tar archives of class folders as sources. They are read in place; nothing is extracted to disk."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from resnet.images.outcomes import Outcome, Reason, Rejected
from resnet.ingestion.archives.reading import Folder, Member, read_archive
from resnet.ingestion.sources.layout import Layout, find_layout
from resnet.ingestion.sources.source import Source


def archive_source(path: Path, names: Iterable[tuple[str, bool]] | None = None, *, class_level: int | None = None) -> Source:
    """The images of an archive, with classes and splits as in `resnet.ingestion.sources.layout`.

    The archive is read twice: first for the names, then for the files.

    Args:
        path: the archive.
        names: what `names_in` yields, if the caller looks at them too.
        class_level: the level of the folders that name the classes, from 1; None to find it.

    Raises:
        UserError: the file is damaged, not of the kind that its name says, or a decompression bomb, or it is not plain which
            folders are the classes.
    """
    layout = find_layout(names_in(path) if names is None else names, class_level)
    return Source(layout.classes, partial(_files, path, layout), layout.notes, layout.splits)


def names_in(path: Path) -> Iterator[tuple[str, bool]]:
    """Names, and whether each is a folder. Rejected members count: a class whose files are all encrypted is still a class."""
    for entry in read_archive(path, contents=False):
        if not isinstance(entry, Rejected):
            yield entry.name, isinstance(entry, Folder)
        elif entry.reason != Reason.NAME_NOT_USABLE:
            yield entry.path, False


def _files(path: Path, layout: Layout) -> Iterator[Outcome]:
    for entry in read_archive(path):
        if isinstance(entry, Member):
            yield layout.outcome(entry.name, entry.read)
        elif isinstance(entry, Rejected):
            yield entry
