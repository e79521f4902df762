"""Decisions about labels: what is read and written, and what is refused."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.decisions import KEEP, RELABEL, Decision, read_decisions, write_decisions

ONE, TWO = "1" * 64, "a" * 64
HEADER = "pixel_hash,path,decision,label\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "decisions.csv"
    path.write_text(text, encoding=encoding)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        read_decisions(written(folder, text))
    return str(caught.value).replace(str(folder), "FOLDER")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = [Decision(ONE, "a, b.png", RELABEL, "dög"), Decision(TWO, "line\nend.png", KEEP, "")]
    write_decisions(tmp_path / "new.csv", given)
    read = read_decisions(tmp_path / "new.csv")
    assert [(one.pixel_hash, one.path, one.kind, one.label) for one in read] == [
        (ONE, "a, b.png", RELABEL, "dög"),
        (TWO, "line\nend.png", KEEP, ""),
    ]
    assert len(read) == 2


def test_the_header_alone_is_no_decision(tmp_path: Path) -> None:
    decisions = read_decisions(written(tmp_path, HEADER))
    assert len(decisions) == 0
    decisions.require_match(0)


def test_a_table_as_a_spreadsheet_saves_it_is_read(tmp_path: Path) -> None:
    text = f"path;pixel_hash;label;decision;remark\r\nx.png;{ONE};cat; Relabel ;blurred\r\n"
    (decision,) = read_decisions(written(tmp_path, text, "utf-8-sig"))
    assert (decision.pixel_hash, decision.kind, decision.label) == (ONE, RELABEL, "cat")


def test_empty_rows_and_capital_digits_of_a_spreadsheet_are_accepted(tmp_path: Path) -> None:
    decisions = read_decisions(written(tmp_path, f"{HEADER}{TWO.upper()},y.png,keep,\n,,,\n ,, ,\n"))
    assert [(one.pixel_hash, one.path) for one in decisions] == [(TWO, "y.png")]


def test_a_row_without_a_decision_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}{ONE},x.png,,cat\n{TWO},y.png,keep,\n")
    with pytest.raises(UserError, match="line 2: the decision is '', but expected is one of relabel, leave out, keep"):
        read_decisions(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,decision,label\n", "lacks the column pixel_hash: its first row must name pixel_hash, path, decision, label."),
        ("", "is empty, but its first row must name pixel_hash, path, decision, label: `git checkout FOLDER/decisions.csv`"),
        (
            f"{HEADER}{ONE},x.png,remove,\n",
            "line 2: the decision is 'remove', but expected is one of relabel",
        ),
        (f"{HEADER}12ab,x.png,keep,\n", "line 2: pixel_hash is '12ab', but expected are 64 hexadecimal digits"),
        (f"{HEADER}{ONE},x.png,relabel,\n", "line 2: the decision is to relabel, but the column label is empty: write"),
        (f"{HEADER}{ONE},x.png,relabel\n", "line 2: the decision is to relabel, but the column label is empty: write"),
        (
            f"{HEADER}{ONE},x,keep,\n{TWO},y,keep,\n{ONE},z,keep,\n",
            "lines 2 and 4: two decisions about the image 'z'",
        ),
        (f"{HEADER}{ONE},x,keep,,,3\n", "line 2: there are 6 cells, but 4 columns"),
    ],
)
def test_what_is_no_decision_is_refused_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    found = refusal(tmp_path, text)
    assert found.startswith("FOLDER/decisions.csv")
    assert sentence in found
    assert "\n" not in found


def test_a_missing_file_is_named_with_the_command_that_brings_it_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"decisions.csv is missing, a table .*: `git checkout .*` restores it.$"):
        read_decisions(tmp_path / "decisions.csv")


def test_a_class_that_the_source_lacks_is_refused(tmp_path: Path) -> None:
    decisions = read_decisions(written(tmp_path, f"{HEADER}{ONE},x.png,relabel,Cat\n"))
    decisions.require_classes(["Cat"])
    with pytest.raises(UserError, match=r"line 2: 'x.png' is to get the label 'Cat', which .*: did you mean 'cat'\?$"):
        decisions.require_classes(["cat", "dog"])
    with pytest.raises(UserError, match=r"the classes are 'owl', 'zebra'\.$"):
        decisions.require_classes(["owl", "zebra"])


def test_decisions_for_other_images_are_refused(tmp_path: Path) -> None:
    decisions = read_decisions(written(tmp_path, f"{HEADER}{ONE},x,keep,\n{TWO},y,keep,\n"))
    decisions.require_match(1)
    with pytest.raises(UserError, match=r"^none of the 2 decisions in .*decisions.csv is about an image of the source"):
        decisions.require_match(0)
    alone = read_decisions(written(tmp_path, f"{HEADER}{ONE},x,keep,\n"))
    with pytest.raises(UserError, match=r"^the only decision in .*decisions.csv is about no image of the source, so it is for"):
        alone.require_match(0)


def test_a_file_of_another_kind_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "decisions.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="decisions.xlsx is not named as a CSV file: save it as CSV in UTF-8"):
        read_decisions(path)
