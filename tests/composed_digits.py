"""Images with several labels each: up to three of scikit-learn's digits in the cells of a grid, and a table that names them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ["0", "1", "2", "3", "4"]
_CELL, _CELLS = 8, 3


def composed_digits(folder: Path, images: int, seed: int = 0) -> Path:
    """Writes `images` PNG files and `labels.csv`, with the columns `file_name` and `labels`; returns the folder.

    One image of ten has no digit, and an empty cell.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    digits, labels = load_digits(n_class=len(CLASSES), return_X_y=True)
    pictures = (digits.reshape(-1, _CELL, _CELL) * 15).astype(np.uint8)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file_name", "labels"))
        for number in range(images):
            canvas = generator.integers(0, 30, (_CELL * _CELLS, _CELL * _CELLS), dtype=np.uint8)
            chosen = generator.integers(0, len(labels), 0 if number % 10 == 9 else generator.integers(1, 4))
            for row, cell in zip(chosen, generator.permutation(_CELLS**2), strict=False):
                top, left = _CELL * (cell // _CELLS), _CELL * (cell % _CELLS)
                canvas[top : top + _CELL, left : left + _CELL] = pictures[row]
            Image.fromarray(canvas).save(folder / f"{number:04d}.png")
            table.writerow((f"{number:04d}.png", "|".join(str(one) for one in labels[chosen])))
    return folder
