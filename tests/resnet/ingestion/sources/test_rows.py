"""The rows of CSV files and of JSON lines."""

import io
from functools import partial

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.rows import TableFile


def table(text: str | bytes, name: str = "a/x.csv") -> TableFile:
    content = text if isinstance(text, bytes) else text.encode()
    return TableFile(name, name, partial(io.BytesIO, content))


def read(text: str, name: str = "x.csv") -> list[dict[str, str]]:
    return [cells for _, cells in table(text, name).rows()]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,007\n",
        "path,label\n,\na.png,007\n , \n",
        "path;label\r\na.png;007\r\n",  # Excel, where a comma is the decimal point
        "sep=;\npath;label\na.png;007\n",
        "path\tlabel\na.png\t007\n",
        "\ufeffpath,label\na.png,007\n",
        " path , label\na.png,007\n\n",
        '"path","label"\n"a.png","007"',
    ],
)
def test_separators_and_spaces_of_the_header_do_not_matter(text: str) -> None:
    assert table(text).header() == ["path", "label"]
    assert read(text) == [{"path": "a.png", "label": "007"}]  # text, not the number 7


def test_lines_are_counted_as_an_editor_does() -> None:
    assert [line for line, _ in table('path,label\na,b\n\n"c\nd",e\n').rows()] == [2, 5]
    assert [line for line, _ in table("sep=,\npath,label\na,b\n").rows()] == [3]


def test_json_lines_become_text() -> None:
    text = '{"file_name": "a.png", "label": 7, "tags": ["x"], "checked": true, "note": null}\n\n{"file_name": "b.png"}\n'
    assert table(text, "x.jsonl").header() == ["file_name", "label", "tags", "checked", "note"]
    assert list(table(text, "x.jsonl").rows()) == [
        (1, {"file_name": "a.png", "label": "7", "tags": "", "checked": "true", "note": ""}),
        (3, {"file_name": "b.png"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]\n", "x.jsonl, line 1: expected a JSON object"),
        ('{"a": 1}\nno\n', "x.jsonl, line 2: this is not JSON"),
        ('{"a": 1, "a ": 2}\n', "x.jsonl, line 1: a occurs twice in an object"),
        ("[" * 100_000, "x.jsonl, line 1: this is not JSON"),
    ],
)
def test_json_that_is_none_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(text, "x.jsonl")


def test_an_empty_file_has_no_columns() -> None:
    assert table("").header() == []
    assert table("", "x.jsonl").header() == []


def test_a_table_knows_its_folder_and_its_name_without_suffix() -> None:
    assert (table("").folder, table("").stem, table("", "train.csv").folder) == ("a", "x", "")


def test_what_cannot_be_read_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="not in UTF-8"):
        table("path,label\na,ä\n".encode("latin-1")).header()
    with pytest.raises(UserError, match="not in UTF-8 .it has NUL bytes, as UTF-16 has"):
        table("path,label\n".encode("utf-16-le")).header()
    with pytest.raises(UserError, match=r"^x.csv, line 2: a cell has more than 131,072 characters; shorten it\.$"):
        read("path,label\n" + "x" * 200_000)
    with pytest.raises(UserError, match="line 2: .*field larger than field limit.*; close the double quote"):
        read('path,label\n"' + "x\n" * 100_000)

    def gone() -> io.BytesIO:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(UserError, match="x.csv cannot be read .No such file or directory"):
        TableFile("x.csv", "x.csv", gone).header()


def test_a_row_with_more_cells_than_columns_is_refused() -> None:
    """Without its quotes, `Washington, DC` and `Washington, state` would be one class, Washington."""
    with pytest.raises(UserError, match="^x.csv, line 3: there are 3 cells, but 2 columns; put a cell that contains ','"):
        read("path,label\n1.png,cat\n2.png,Washington, DC\n")
    with pytest.raises(UserError, match="^x.csv, line 2: there are 2 cells, but 1 column; put"):
        read("path\n1.png,cat\n")
    assert read("path,label\n1.png,cat,, \n") == [{"path": "1.png", "label": "cat"}]  # as a spreadsheet may write it


@pytest.mark.parametrize("rest", ["3.png,cat\n", '3.png,cat\n4.png,"owl"\n'])
def test_a_quote_that_is_not_closed_is_refused_with_the_line_where_it_is_open(rest: str) -> None:
    with pytest.raises(UserError, match="^x.csv, line 3: this cannot be read as CSV .*; close the double quote"):
        read(f'path,label\n1.png,cat\n2.png,"dog\n{rest}')


def test_two_columns_of_the_same_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"^x.csv, line 1: two columns are called label; rename or remove one of them\.$"):
        table("path,label, label\n", "x.csv").header()
    assert table("path,label,,\n").header() == ["path", "label", "", ""]


def test_numbers_of_json_are_one_class_however_they_are_written() -> None:
    text = '{"label": 1}\n{"label": 1.0}\n{"label": NaN}\n{"label": 1.5}\n{"label": -1.0}\n'
    assert [cells["label"] for cells in read(text, "x.jsonl")] == ["1", "1", "", "1.5", "-1"]
