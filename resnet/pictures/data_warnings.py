"""Warnings at the top of the data report.

They point out what makes accuracy less meaningful: leaks, classes with too few test images, imbalance, class names that are
equal for some file systems, and many rejected files.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resnet.core.words import agreeing, counted
from resnet.pictures.pages import percent, plain

if TYPE_CHECKING:
    import pandas as pd

_MIN_TEST_IMAGES = 10  # with fewer, one error changes the accuracy of a class by more than ten points
# As in resnet/preparation/splits.py, which the stage that draws the pages does not depend on.
_MIN_VALIDATION_IMAGES = 50
_MIN_VALIDATION_IMAGES_OF_A_CLASS = 5
_HEAVY_IMBALANCE = 10  # the smallest imbalance factor above 1 in Cui et al. 2019 (arXiv:1901.05555)
_MANY_REJECTS = 0.05
_MAX_NAMES = 8  # in a sentence


@dataclass(frozen=True)
class DataWarning:
    """A warning.

    Attributes:
        section: the id of the heading with more information.
        text: the problem and its consequence.
        names: the names of the classes or groups concerned.
        of_accuracy: whether the accuracy on the test split means less than it seems to; the page of results shows such a
            warning beside it.
    """

    section: str
    text: str
    names: list[str] = field(default_factory=list)
    of_accuracy: bool = False

    @property
    def sentence(self) -> str:
        """The text with the first names."""
        more = f" and {len(self.names) - _MAX_NAMES:,} more" if len(self.names) > _MAX_NAMES else ""
        return f"{self.text} {', '.join(self.names[:_MAX_NAMES])}{more}." if self.names else self.text


def constant_answer(metrics: Mapping[str, float], per_class: "pd.DataFrame") -> list[DataWarning]:
    """A warning if a network that always answers the most frequent class may be as accurate, or is more accurate.

    Args:
        metrics: accuracy_low and accuracy_high, the ends of the interval of the accuracy on the test split.
        per_class: one row for each class, with its label and its number of test images, support.
    """
    support = per_class["support"].to_numpy()
    share = float(support.max() / support.sum())
    if metrics["accuracy_low"] > share:
        return []
    answer = f"always answering {plain(str(per_class['label'].iloc[int(support.argmax())]))} ({percent(share)})"
    worse = metrics["accuracy_high"] < share
    text = f"Worse than {answer}." if worse else f"No better than {answer}, within chance."
    return [DataWarning("classes", text, of_accuracy=True)]


def data_warnings(
    files: dict[str, int],
    table: "pd.DataFrame",
    balance: dict[str, Any] | None,
    groups: dict[str, Any],
    pairs: dict[str, Any],
    *,
    unmatched: int = 0,
    splits: dict[str, int] | None = None,
) -> list[DataWarning]:
    """The warnings, the most serious first.

    Args:
        files: the number of files of the source that are accepted, rejected, duplicate and ignored.
        table: one row for each class, with its number of images in each split and in total: training, validation, test, images.
        balance: ratio, of the sizes of the largest and the smallest class; None if there are no images.
        groups: astride, the names of groups in more than one split.
        pairs: the numbers of near-duplicate pairs: leaks, leaked_test_images and other_labels.
        unmatched: the number of decisions about labels that are about no image of the source.
        splits: the number of images in each split; None if each image is of one class.
    """
    found = []
    splits = splits or {split: int(table[split].sum()) for split in ("validation", "test")}
    tested = splits["test"]
    if pairs["leaked_test_images"]:
        leaked = pairs["leaked_test_images"]
        share = percent(leaked / max(tested, 1))
        have, these = agreeing(leaked, "has", "have"), agreeing(leaked, "this image", f"these {leaked:,} images")
        left = tested - leaked
        others = f"; that on the other {agreeing(left, 'one', f'{left:,}')} is not affected" if left > 0 else ""
        found.append(
            DataWarning(
                "leaks",
                f"{leaked:,} of {counted(tested, 'test image')} ({share}) {have} a near-duplicate in the training or "
                f"validation split. The accuracy on {these} says little about new images{others}.",
                of_accuracy=True,
            )
        )
    elif pairs["leaks"]:
        across = counted(pairs["leaks"], "near-duplicate pair")
        text = f"{across} across training and validation; validation selects the best epoch."
        found.append(DataWarning("leaks", text))
    if pairs["other_labels"]:
        text = f"{counted(pairs['other_labels'], 'near-duplicate pair')} with two different labels: one of them may be wrong."
        found.append(DataWarning("leaks", text))
    if groups["astride"]:
        text = f"{counted(len(groups['astride']), 'group')} in more than one split:"
        found.append(DataWarning("splits", text, groups["astride"], of_accuracy=True))
    total = sum(files.values())
    if files["rejected"] > _MANY_REJECTS * total:
        text = f"{percent(files['rejected'] / total)} of the files were rejected."
        found.append(DataWarning("rejected", text))
    if unmatched:
        verb = agreeing(unmatched, "is", "are")
        found.append(
            DataWarning("decisions", f"{counted(unmatched, 'decision')} about labels {verb} about no image of the source.")
        )
    return found + _class_warnings(table, balance, splits["validation"])


def _class_warnings(table: "pd.DataFrame", balance: dict[str, Any] | None, validation: int) -> list[DataWarning]:
    found = []
    empty = table.index[table["images"] == 0].tolist()
    if empty:
        found.append(DataWarning("classes", f"{counted(len(empty), 'class', 'classes')} without images:", empty))
    few = table[(table["images"] > 0) & (table["test"] < _MIN_TEST_IMAGES)].sort_values("test", kind="stable").index.tolist()
    if few:
        noun = counted(len(few), "class", "classes")
        text = f"{noun} with fewer than {_MIN_TEST_IMAGES} test images, so that one error counts for more than ten points:"
        found.append(DataWarning("classes", text, few))
    found += _validation_warnings(table[table["images"] > 0]["validation"].tolist(), validation)
    if balance and balance["ratio"] >= _HEAVY_IMBALANCE:
        text = f"The largest class has {balance['ratio']:,.1f} times the images of the smallest: prefer macro F1 to accuracy."
        found.append(DataWarning("classes", text, of_accuracy=True))
    alike = _alike(table.index.tolist())
    if alike:
        found.append(DataWarning("classes", "Classes whose names look alike:", alike))
    return found


def _validation_warnings(images: list[int], total: int) -> list[DataWarning]:
    least = min(images, default=0)
    if not images or (total >= _MIN_VALIDATION_IMAGES and least >= _MIN_VALIDATION_IMAGES_OF_A_CLASS):
        return []
    text = (
        f"The validation split has {counted(total, 'image')}, at least one class has {least or 'none'}, which is few to "
        "choose the epoch and fit the temperature of the probabilities by; raise preprocess.validation_share, or add images."
    )
    return [DataWarning("splits", text)]


def _alike(names: list[str]) -> list[str]:
    """Names that are a canonical caseless match (Unicode Standard, D145) of another name, next to each other."""
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
        alike.setdefault(folded, []).append(name)
    return [name for group in alike.values() if len(group) > 1 for name in group]
