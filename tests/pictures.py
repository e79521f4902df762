"""Makes small images and folders of images for tests."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, *, kind: str = "PNG", size: tuple[int, int] = (12, 10), **options: int) -> bytes:
    """Encodes an image of smooth noise; no two numbers give near-duplicates."""
    coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **options)
    return buffer.getvalue()


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by relative path into a folder; returns the folder."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def two_classes(root: Path, each: int = 12) -> Path:
    """Writes a source of two class folders of images; returns the folder."""
    return write_tree(
        root, {f"{name}/{n}.png": picture(n + 1000 * k) for k, name in enumerate(("cat", "dog")) for n in range(each)}
    )
