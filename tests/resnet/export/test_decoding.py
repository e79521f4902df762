"""Decoding in TensorFlow against Pillow, which decodes for training."""

import io

import tensorflow as tf
from PIL import Image

from resnet.export.decoding import decode_all
from resnet.images.decoding import load
from tests.resnet.export.test_resampling import assert_alike, photograph


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_files_are_decoded_as_for_training() -> None:
    clear = photograph(90, 70).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    files = [
        encoded(photograph(100, 61), "JPEG", quality=85),
        encoded(photograph(300, 220), "JPEG"),  # decoded at a quarter
        encoded(photograph(61, 100), "PNG"),
        encoded(photograph(50, 40), "BMP"),
        encoded(clear, "PNG"),
    ]
    found = decode_all(tf.constant(files), 48)
    for image, file in zip(found, files, strict=True):
        assert_alike(image, load(file, 48))
