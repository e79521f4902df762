"""The images on which exports are checked."""

import io

import numpy as np
from PIL import Image

from resnet.export.shapes import varied_files, varied_images

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_there_are_images_of_one_pixel_smaller_larger_wide_tall_and_grey() -> None:
    images = list(varied_images(IMAGES))
    sizes = {image.size for image in images}
    assert {image.mode for image in images} == {"RGB"}
    assert {(1, 1), (1, 9), (9, 1), (33, 32), (32, 33), (131, 16), (16, 131), (161, 131)} < sizes
    assert any((width - height) % 2 for width, height in sizes)  # margins that are no whole pixels
    assert max(min(size) for size in sizes) <= 6 * 32  # larger ones are averaged over blocks first
    grey = np.asarray(images[-1])
    assert (grey == grey[..., :1]).all()


def test_the_files_have_the_kinds_that_tensorflow_decodes() -> None:
    opened = [Image.open(io.BytesIO(file)) for file in varied_files(IMAGES)]
    assert [image.size for image in opened] == [image.size for image in varied_images(IMAGES)]
    kinds = {(image.format, image.mode) for image in opened}
    assert kinds == {("JPEG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("PNG", "I;16"), ("GIF", "P"), ("BMP", "RGB")}
