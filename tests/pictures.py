"""Small images and folders of them, for tests."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, *, kind: str = "PNG", size: tuple[int, int] = (12, 10), **options: int) -> bytes:
    """An image of which no two numbers look alike: smooth noise."""
    coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **options)
    return buffer.getvalue()


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """A folder with these files."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def two_classes(root: Path, each: int = 12) -> Path:
    """A folder with two folders of images."""
    return write_tree(
        root, {f"{name}/{n}.png": picture(n + 1000 * k) for k, name in enumerate(("cat", "dog")) for n in range(each)}
    )
