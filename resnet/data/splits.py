"""Which split an image is in: training, validation or test."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from resnet.errors import UserError

SPLITS = ("training", "validation", "test")


def assign_splits(
    labels: Sequence[int],
    digests: Sequence[str],
    classes: Sequence[str],
    *,
    validation_share: float,
    test_share: float,
    seed: int,
) -> list[str]:
    """Stratified splits by content: in each class the shares are kept to within an image.

    The images of a class are put in the order of a hash of (seed, content), and cut. Neither the order in which they are
    given nor their names matter. Images of the same content go to the same split, also when that bends a share.

    Args:
        labels: of each image, an index into `classes`.
        digests: SHA-256 of each image's content, in hexadecimal digits.
        classes: the names of the labels.
        validation_share: of a class's images, in (0, 1).
        test_share: likewise; the two leave something for training.
        seed: another one makes other splits.

    Returns:
        For each image one of `SPLITS`.

    Raises:
        UserError: a class has too few different images to be in all three splits, or an image is there under two labels.
    """
    label_of: dict[str, int] = {}
    members: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (label, digest) in enumerate(zip(labels, digests, strict=True)):
        members[label][digest].append(row)
        if label_of.setdefault(digest, label) != label:
            raise UserError(
                f"the same image is in class {classes[label_of[digest]]!r} and in class {classes[label]!r} (SHA-256 {digest}), "
                "but an image can have one label only: take it out of one of them."
            )
    splits = [""] * len(labels)
    for label, name in enumerate(classes):
        groups = sorted(members[label].items(), key=lambda item: _position(item[0], seed))
        counts = _counts(len(groups), validation_share, test_share, name)
        names = [split for split in SPLITS for _ in range(counts[split])]
        for split, (_, rows) in zip(names, groups, strict=True):
            for row in rows:
                splits[row] = split
    return splits


def _position(digest: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {digest}".encode()).digest()


def _counts(images: int, validation_share: float, test_share: float, name: str) -> dict[str, int]:
    test, validation = (max(1, round(images * share)) for share in (test_share, validation_share))
    training = images - test - validation
    if training < 1:
        raise UserError(
            f"class {name!r} has {images} different {'image' if images == 1 else 'images'}, but at least 3 are needed, one "
            "for each of training, validation and test, and more with large preprocess.validation_share or test_share: "
            "add images to the class or leave it out."
        )
    return {"training": training, "validation": validation, "test": test}
