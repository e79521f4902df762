"""The ledger of a source: counts, tables, and when a run stops."""

import csv
from pathlib import Path
from typing import Any

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Reason, Rejected
from resnet.ingestion.ledger import Ledger


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def ledger(folder: Path, *, accepted: int = 0, empty: int = 0, truncated: int = 0, ignored: int = 0) -> Ledger:
    with Ledger(folder / "raw", "quarantine") as made:
        for _ in range(accepted):
            made.accept("cat")
        for number in range(empty):
            made.reject(Rejected(f"e{number}", Reason.EMPTY, "no bytes"))
        for number in range(truncated):
            made.reject(Rejected(f"t{number}", Reason.TRUNCATED, "ends early"))
        for number in range(ignored):
            made.ignore(f"README.{number}")
    return made


def test_every_file_is_counted_and_all_but_images_are_listed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "raw", "quarantine") as made:
        made.accept("cat")
        made.accept("cat")
        made.accept("dog")
        made.withdraw("cat")
        made.leave_out("cat/2", "cat/1")
        made.reject(Rejected("a\rb", Reason.NOT_AN_IMAGE, "text\r\n"))
        made.ignore("x\r.txt")
    assert (made.accepted, made.images["cat"], made.images["dog"]) == (2, 1, 1)
    assert (made.rejected.total(), made.duplicates, made.ignored, made.files) == (1, 1, 1, 5)
    assert rows(tmp_path / "raw" / "duplicates.csv") == [["path", "duplicate_of"], ["cat/2", "cat/1"]]
    assert rows(tmp_path / "raw" / "rejected.csv") == [["path", "reason", "detail"], [r"a\rb", "not_an_image", "text\\r\n"]]
    assert rows(tmp_path / "raw" / "ignored.csv") == [["path"], [r"x\r.txt"]]


def test_on_request_the_first_rejected_file_stops_the_run(tmp_path: Path) -> None:
    with Ledger(tmp_path / "raw", "fail") as made, pytest.raises(UserError) as caught:
        made.reject(Rejected("cat/2", Reason.EMPTY, "no bytes"))
    assert str(caught.value) == (
        "'cat/2' is rejected as empty (no bytes); fix or remove it, or set ingest.on_bad to quarantine to continue without it."
    )
    assert made.files == 0


@pytest.mark.parametrize("reason", ["unlabelled", "small_class", "left_out"])
def test_a_file_without_a_fault_is_listed_but_is_no_bad_file(tmp_path: Path, reason: str) -> None:
    with Ledger(tmp_path / "raw", "fail") as made:
        made.accept("cat")
        made.reject(Rejected("test/1", Reason(reason), "in a split without labels"))
    made.check(0.0)
    assert (made.rejected.total(), dict(made.set_aside), made.files) == (0, {reason: 1}, 2)
    assert rows(tmp_path / "raw" / "rejected.csv")[1:] == [["test/1", reason, "in a split without labels"]]


@pytest.mark.parametrize(
    ("counts", "limit", "stops"),
    [
        ({"accepted": 8, "empty": 2}, 0.2, False),
        ({"accepted": 7, "empty": 2}, 0.2, True),
        ({"accepted": 7, "empty": 2, "ignored": 99}, 0.2, True),  # ignored files do not count
        ({"accepted": 1}, 0.0, False),
        ({"accepted": 1, "empty": 1}, 0.0, True),
    ],
)
def test_more_rejected_files_than_the_limit_stop_the_run(
    tmp_path: Path, counts: dict[str, Any], limit: float, stops: bool
) -> None:
    made = ledger(tmp_path, **counts)
    if not stops:
        made.check(limit)
        return
    with pytest.raises(UserError, match="files (was|were) rejected"):
        made.check(limit)


def test_the_message_has_the_reasons_and_the_first_three_files(tmp_path: Path) -> None:
    made = ledger(tmp_path, accepted=1, empty=2, truncated=1001)
    assert made.reasons() == "1,001 truncated, 2 empty"
    with pytest.raises(UserError) as caught:
        made.check(0.5)
    assert str(caught.value) == (
        "1,003 of 1,004 files were rejected (1,001 truncated, 2 empty), more than ingest.max_rejected allows (a share of 0.5); "
        "the first are 'e0' (empty: no bytes), 'e1' (empty: no bytes), 't0' (truncated: ends early): fix or remove them, or "
        "raise the limit."
    )


def test_the_message_about_one_file_is_in_the_singular(tmp_path: Path) -> None:
    made = ledger(tmp_path, empty=1)
    with pytest.raises(UserError) as caught:
        made.check(0.5)
    assert str(caught.value) == (
        "1 of 1 file was rejected (1 empty), more than ingest.max_rejected allows (a share of 0.5); the file is 'e0' (empty: "
        "no bytes): fix or remove it, or raise the limit."
    )


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the source has no usable image \(no files\): choose another source"):
        ledger(tmp_path, ignored=1).check(1.0)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("left_out", r"\(2 left out by your decisions\): change the decisions that leave images out\.$"),
        ("small_class", r"\(2 of small classes\): lower ingest\.min_images_per_class\.$"),
        ("unlabelled", r"\(2 unlabelled\): choose another source\.$"),
    ],
)
def test_without_an_image_the_advice_is_about_what_left_them_out(tmp_path: Path, reason: str, expected: str) -> None:
    with Ledger(tmp_path / "raw", "quarantine") as made:
        for name in ("a", "b"):
            made.reject(Rejected(name, Reason(reason), "detail"))
        with pytest.raises(UserError, match=expected):
            made.check(1.0)
        assert "left_out" not in " ".join(made.set_aside_in_words())
