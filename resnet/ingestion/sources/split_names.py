"""Names of folders that name a split in other words: `seg_train`, `test1`, `imgs_val`, `Training set`."""

import re
from collections.abc import Iterable

from resnet.ingestion.sources.source import SPLIT_NAMES

UNLABELLED = "unlabelled"  # images to be predicted, without labels; not a split of this project
_EVALUATION = "evaluation"  # the test split, or the validation split if there is a test split too

# Whole words in names of folders, and the splits that they mean.
_WORDS = SPLIT_NAMES | {
    "trainval": "training",
    "eval": _EVALUATION,
    "evaluation": _EVALUATION,
    "pred": UNLABELLED,
    "predict": UNLABELLED,
    "prediction": UNLABELLED,
    "predictions": UNLABELLED,
    "unlabeled": UNLABELLED,
    "unlabelled": UNLABELLED,
}
# Words that say nothing about what is in a folder of images.
_GENERIC = {"data", "dataset", "folder", "image", "images", "img", "imgs", "photo", "photos", "pics", "set", "split"}
# A lower-case letter before an upper-case one also ends a word: `TestSet`.
_WORD = re.compile(r"[^\W\d_]+?(?=(?<=[a-z])[A-Z]|[\W\d_]|$)")


def words(name: str) -> list[str]:
    """The words of a name in lower case, which may be separated by any other character or by capitals."""
    return [word.casefold() for word in _WORD.findall(name)]


def roles(names: Iterable[str]) -> dict[str, str]:
    """The splits that names of folders mean: training, validation, test or `UNLABELLED`. Other names are left out."""
    found = {name: _role(name) for name in names}
    known = {name: role for name, role in found.items() if role}
    splits = set(known.values())
    evaluation = "validation" if "test" in splits and "validation" not in splits else "test"
    return {name: evaluation if role == _EVALUATION else role for name, role in known.items()}


def _role(name: str) -> str | None:
    if name.casefold() in SPLIT_NAMES:
        return SPLIT_NAMES[name.casefold()]
    found = {_WORDS[word] for word in words(name) if word in _WORDS}
    if found == {"training", "validation"}:  # train_val, which is both
        return "training"
    return found.pop() if len(found) == 1 else None


def differ_only_in_the_split(names: Iterable[str]) -> bool:
    """Whether names say the same apart from the split, as `seg_train` and `seg_test`; not `train station` and `test tube`."""
    return len({tuple(word for word in words(name) if word not in _WORDS.keys() | _GENERIC) for name in names}) == 1
