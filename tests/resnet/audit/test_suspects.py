"""The list of suspects, and the table in which a person decides."""

import csv
from pathlib import Path

import numpy as np
import pytest

from resnet.audit.ranking import Ranking
from resnet.audit.suspects import (
    COLUMNS,
    Suspect,
    decisions_in,
    keep_other_images,
    list_suspects,
    with_earlier_decisions,
    write_suspects,
)
from resnet.core.errors import UserError
from tests.hostile.texts import TEXTS

CLASSES = ["cat", "dog", "owl"]
RANKING = Ranking(np.array([3, 1, 0, 2]), 3, np.array([0.3, 0.2, 0.9, 0.1]), np.array([1, 2, 0, 0]))


def digits(character: str) -> str:
    return 64 * character


def found(**options: object) -> list[Suspect]:
    hashes = [digits(character) for character in "abcd"]
    return list_suspects(RANKING, [0, 1, 1, 2], ["w", "x", "y", "z"], hashes, CLASSES, **options)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decide(path: Path, **decisions: str) -> None:
    """Writes decisions into a table by the names of the images, as a person does."""
    table = rows(path)
    for row in table:
        row["decision"], _, label = decisions.get(row["path"], row["decision"]).partition(":")
        row["suggested"] = label or row["suggested"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)


def test_the_most_suspect_come_first_with_their_labels_and_suggestions() -> None:
    assert found() == [
        Suspect(1, "z", digits("d"), "owl", "cat", 0.1),
        Suspect(2, "x", digits("b"), "dog", "owl", 0.2),
        Suspect(3, "w", digits("a"), "cat", "dog", 0.3),
    ]


def test_images_with_a_decision_are_not_listed_again_and_copies_once() -> None:
    assert [one.path for one in found(decided={digits("d"), digits("a")})] == ["x"]
    copies = list_suspects(RANKING, [0, 1, 1, 2], list("wxyz"), [digits("a")] * 4, CLASSES)
    assert [one.path for one in copies] == ["z"]


def test_a_person_fills_in_the_table_and_a_later_audit_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    write_suspects(path, found())
    assert [row["decision"] for row in rows(path)] == [""] * 3
    decide(path, z="relabel", x="keep", w="relabel:owl")
    again = with_earlier_decisions(found(decided={digits("d")}), path, {digits("d")})
    assert [(one.path, one.decision, one.suggested) for one in again] == [("x", "keep", "owl"), ("w", "relabel", "owl")]
    later = with_earlier_decisions([], path, {digits("b")})  # the networks now agree with these labels
    assert [(one.number, one.path, one.decision, one.suggested) for one in later] == [
        (1, "z", "relabel", "cat"),
        (2, "w", "relabel", "owl"),
    ]


def test_decisions_about_other_images_are_kept_in_a_copy_and_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    images = {digits("b"), digits("d")}
    assert keep_other_images(path, (), images) is None
    write_suspects(path, found())
    decide(path, z="relabel", x="keep")
    assert keep_other_images(path, (), images) is None
    decide(path, w="keep")
    before = path.read_bytes()
    assert keep_other_images(path, (), images) == (1, tmp_path / "suspects-of-other-images-1.csv")
    assert keep_other_images(path, (), set()) == (3, tmp_path / "suspects-of-other-images-2.csv")
    assert keep_other_images(path, {digits("a")}, images) is None
    assert (tmp_path / "suspects-of-other-images-1.csv").read_bytes() == path.read_bytes() == before
    again = with_earlier_decisions([], path, (), images)
    assert [(one.path, one.decision) for one in again] == [("z", "relabel"), ("x", "keep")]


def test_a_class_that_a_person_wrote_without_a_decision_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    write_suspects(path, found())
    decide(path, z=":dog")
    better = Ranking(RANKING.order, 3, RANKING.score, np.array([2, 0, 0, 1]))  # it suggests owl for w, cat for x, dog for z
    again = with_earlier_decisions(
        list_suspects(better, [0, 1, 1, 2], list("wxyz"), [digits(one) for one in "abcd"], CLASSES), path, ()
    )
    assert [(one.path, one.decision, one.suggested) for one in again] == [("z", "", "dog"), ("x", "", "cat"), ("w", "", "owl")]
    again = with_earlier_decisions(found(), path, ())
    write_suspects(path, again)
    third = with_earlier_decisions(found(), path, ())
    assert [(one.path, one.suggested) for one in third] == [("z", "dog"), ("x", "owl"), ("w", "dog")]
    gone = with_earlier_decisions([], path, ())
    assert [(one.path, one.given, one.suggested) for one in gone] == [("z", "", "dog")]


def test_two_decisions_about_one_image_are_refused_also_by_an_audit(tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    write_suspects(path, found())
    decide(path, z="keep")
    path.write_text(f"{path.read_text('utf-8')}4,leave out,cat,owl,0.1,z,{digits('D')},cat\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"suspects.csv, lines 2 and 5: two decisions about the image 'z': keep one\.$"):
        with_earlier_decisions([], path, ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty, but its first row must name number, .*: remove it, and `python -m flows.audit` writes a new one"),
        ("pixel_hash,path,decision,label\n", "is a table of decisions, as data/decisions.csv is, which `ingest` reads, but"),
        ("path,decision\n", "lacks the columns number, suggested, given, score, pixel_hash: its first row must name number"),
    ],
)
def test_another_table_is_refused_with_what_to_do(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "suspects.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        with_earlier_decisions([], path, ())


def test_names_of_all_kinds_come_through_the_table_unchanged(tmp_path: Path) -> None:
    texts = [text for text in TEXTS if "\r" not in text]  # which no image of a source has
    suspects = [Suspect(number, text, f"{number:064x}", text, text, 0.5, "relabel") for number, text in enumerate(texts, 1)]
    write_suspects(tmp_path / "suspects.csv", suspects)
    read = decisions_in(tmp_path / "suspects.csv").values()
    assert [(one.path, one.label) for one in read] == [(text, text) for text in texts]
