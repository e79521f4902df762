"""The grid of sample images."""

from itertools import pairwise

import numpy as np
import pytest

from resnet.pictures.grid import RIGHT, WRONG, draw_grid


def test_titles_are_green_or_red_and_wrong_ones_have_the_label() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    figure = draw_grid(images, ["a", "b", "$x$"], ["a", "a", "$x$"], "title")
    titles = [(axes.get_title(), axes.title.get_color()) for axes in figure.axes]
    assert titles == [("a", RIGHT), ("a\nis b", WRONG), ("$x$", RIGHT)]
    figure.draw_without_rendering()


def test_titles_do_not_touch_however_long_the_names() -> None:
    names = ["great spotted woodpecker (juvenile)", "hummingbird and more of it"]
    figure = draw_grid(np.zeros((8, 4, 4, 3), np.uint8), names * 4, names[::-1] * 4, "title")
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(("images", "rows", "columns"), [(1, 1, 1), (8, 1, 8), (9, 2, 8)])
def test_a_row_has_up_to_eight_images(images: int, rows: int, columns: int) -> None:
    figure = draw_grid(np.zeros((images, 4, 4, 3), np.uint8), ["a"] * images, ["a"] * images, "title")
    assert figure.axes[0].get_gridspec().get_geometry() == (rows, columns)  # type: ignore[union-attr]
    assert sum(bool(axes.images) for axes in figure.axes) == images
