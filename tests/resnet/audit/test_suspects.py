"""The list of suspects, and the table in which a person decides."""

import csv
from pathlib import Path

import numpy as np

from resnet.audit.ranking import Ranking
from resnet.audit.suspects import COLUMNS, Suspect, list_suspects, with_earlier_decisions, write_suspects
from resnet.ingestion.decisions import decisions_in
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
        row["label"] = label or row["label"]
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
    assert [(one.path, one.decision, one.label) for one in again] == [("x", "keep", "owl"), ("w", "relabel", "owl")]
    later = with_earlier_decisions([], path, {digits("b")})  # the networks now agree with these labels
    assert [(one.number, one.path, one.decision, one.label) for one in later] == [
        (1, "z", "relabel", "cat"),
        (2, "w", "relabel", "owl"),
    ]


def test_names_of_all_kinds_come_through_the_table_unchanged(tmp_path: Path) -> None:
    texts = [text for text in TEXTS if "\r" not in text]  # which no image of a source has
    suspects = [Suspect(number, text, f"{number:064x}", text, text, 0.5, "relabel") for number, text in enumerate(texts, 1)]
    write_suspects(tmp_path / "suspects.csv", suspects)
    read = list(decisions_in(tmp_path / "suspects.csv", COLUMNS, undecided=True))
    assert [(one.path, one.label) for one in read] == [(text, text) for text in texts]
