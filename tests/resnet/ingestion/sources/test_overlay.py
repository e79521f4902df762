"""What a table beside class folders adds to them."""

from collections.abc import Iterator

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Outcome, Reason, Rejected
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.overlay import beside_tables, with_tables
from resnet.ingestion.sources.places import Listed
from resnet.ingestion.sources.source import Source
from resnet.ingestion.sources.table import open_table
from tests.resnet.ingestion.sources.test_rows import table


def folders() -> Source:
    def files() -> Iterator[Outcome]:
        yield Rejected("splits.csv", Reason.NO_LABEL, "it is outside all class folders")
        yield Candidate("cat/1.png", "cat", bytes)
        yield Candidate("dog/2.png", "dog", bytes)
        yield Candidate("dog/3.png", "dog", bytes, "training")

    return Source(["cat", "dog"], files, ("a note",))


def test_splits_and_groups_come_from_the_table_and_classes_from_the_folders() -> None:
    text = "path,split,group\ncat/1.png,test,p1\ndog/2.png,,p2\n"
    place = Listed(["cat/1.png", "dog/2.png", "dog/3.png"])
    source = with_tables(folders(), [open_table(table(text, "splits.csv"), place, Choice())])
    first, *found = source.files()
    assert first == Ignored("splits.csv")
    assert [(file.label, file.split, file.group) for file in found if isinstance(file, Candidate)] == [
        ("cat", "test", "p1"),
        ("dog", None, "p2"),
        ("dog", "training", None),
    ]
    assert source.notes == ("a note", "the column split and group is from splits.csv, the classes are those of the folders")


def test_a_table_that_is_not_used_is_ignored_with_a_note() -> None:
    source = beside_tables(folders(), {"splits.csv": "it is not used"})
    assert next(source.files()) == Ignored("splits.csv")
    assert source.notes == ("a note", "it is not used")


def test_an_image_in_two_rows_is_refused() -> None:
    text = "path,group\ncat/1.png,p1\ncat/1.png,p2\n"
    given = open_table(table(text, "splits.csv"), Listed(["cat/1.png"]), Choice())
    with pytest.raises(UserError, match="^splits.csv, line 3: cat/1.png is already on line 2; list each image once"):
        with_tables(folders(), [given])
