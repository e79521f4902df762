"""Resizing in front of an OpenVINO model against Pillow."""

import numpy as np

from resnet.export.shapes import varied_images
from resnet.images.decoding import resize_and_crop
from resnet.openvino.engine import compiled
from resnet.openvino.graph import INPUT
from resnet.openvino.resizing import with_resizing
from resnet.openvino.runtime import import_openvino


def test_levels_are_those_of_pillow_from_the_first_inference_on() -> None:
    ov = import_openvino()
    from openvino import opset13 as ops

    images = ops.parameter(ov.PartialShape([-1, 24, 24, 3]), np.uint8, name=INPUT)
    run = compiled(with_resizing(ov.Model([ops.convert(images, "f32")], [images], "levels")), "float32")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(run(pixels), pixels)
    for image in varied_images(pixels):
        difference = np.abs(run(np.asarray(image)[None])[0] - resize_and_crop(image, 24))
        # A sum halfway between two levels may be rounded either way.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
