"""What is worth a line on top of the page about the data.

A warning is something that makes the accuracy mean less than it seems to: leaks, classes too small to measure, imbalance, names
that are one name to some file systems, and a source of which much was refused.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FEW_TEST_IMAGES = 10  # with fewer, one mistake moves the accuracy of the class by more than ten points
_HEAVY_IMBALANCE = 10  # the mildest long tail that Cui et al. 2019 (arXiv:1901.05555) study
_MANY_REJECTS = 0.05


@dataclass(frozen=True)
class DataWarning:
    """A line on top of the page.

    Attributes:
        section: the id of the heading that says more.
        text: what is wrong, and what follows from it.
        names: of the classes or groups that it is about.
    """

    section: str
    text: str
    names: list[str] = field(default_factory=list)


def data_warnings(
    files: dict[str, int],
    table: "pd.DataFrame",
    balance: dict[str, Any] | None,
    groups: dict[str, Any],
    pairs: dict[str, Any],
) -> list[DataWarning]:
    """The warnings, the gravest first.

    Args:
        files: how many files of the source are accepted, rejected, duplicate and ignored.
        table: by class, the images in each split and in all: training, validation, test, images.
        balance: the ratio of the largest class to the smallest; None without images.
        groups: the names of those astride two splits.
        pairs: of near-duplicates: leaks, leaked_test_images and other_labels, each a number.
    """
    found = []
    tested = int(table["test"].sum())
    if pairs["leaked_test_images"]:
        share = percent(pairs["leaked_test_images"] / max(tested, 1))
        found.append(
            DataWarning(
                "leaks",
                f"{pairs['leaked_test_images']:,} of {count(tested, 'test image')} ({share}) have a near-duplicate in the "
                "training or validation split: the accuracy on them says little.",
            )
        )
    elif pairs["leaks"]:
        text = (
            f"{count(pairs['leaks'], 'near-duplicate pair')} across training and validation, which the best epoch is chosen by."
        )
        found.append(DataWarning("leaks", text))
    if pairs["other_labels"]:
        text = f"{count(pairs['other_labels'], 'near-duplicate pair')} with two different labels: one of the two may be wrong."
        found.append(DataWarning("leaks", text))
    if groups["astride"]:
        text = f"{count(len(groups['astride']), 'group')} in more than one split:"
        found.append(DataWarning("splits", text, groups["astride"]))
    in_all = sum(files.values())
    if files["rejected"] > _MANY_REJECTS * in_all:
        text = f"{percent(files['rejected'] / in_all)} of the files were rejected."
        found.append(DataWarning("rejected", text))
    return found + _class_warnings(table, balance)


def _class_warnings(table: "pd.DataFrame", balance: dict[str, Any] | None) -> list[DataWarning]:
    found = []
    empty = table.index[table["images"] == 0].tolist()
    if empty:
        found.append(DataWarning("classes", f"{count(len(empty), 'class', 'classes')} without images:", empty))
    few = table[(table["images"] > 0) & (table["test"] < _FEW_TEST_IMAGES)].sort_values("test", kind="stable").index.tolist()
    if few:
        noun = count(len(few), "class", "classes")
        text = f"{noun} with fewer than {_FEW_TEST_IMAGES} test images, so that a single mistake weighs more than ten points:"
        found.append(DataWarning("classes", text, few))
    if balance and balance["ratio"] >= _HEAVY_IMBALANCE:
        text = (
            f"The largest class has {balance['ratio']:,.1f} times the images of the smallest: macro F1 says more than accuracy."
        )
        found.append(DataWarning("classes", text))
    alike = _alike(table.index.tolist())
    if alike:
        found.append(DataWarning("classes", "Classes whose names differ in case or Unicode form alone:", alike))
    return found


def _alike(names: list[str]) -> list[str]:
    """Names that are a canonical caseless match (Unicode Standard, D145) of another, side by side."""
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
        alike.setdefault(folded, []).append(name)
    return [name for group in alike.values() if len(group) > 1 for name in group]


def percent(share: float) -> str:
    """One decimal; what is not quite none or all does not read as if it were."""
    figure = f"{100 * share:.1f}"
    if 0 < share < 0.0005:
        figure = "<\u00a00.1"
    elif 0.9995 <= share < 1:
        figure = ">\u00a099.9"
    return f"{figure}\u00a0%"


def count(number: int, one: str, many: str = "") -> str:
    """The number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
