"""What is drawn, and what is written on it."""

import io
import re

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from resnet.pictures.confusion import count_confusions, draw_confusion, most_confused, order_classes
from resnet.pictures.curves import draw_curves, draw_learning_rate
from resnet.pictures.grid import RIGHT, WRONG, draw_grid
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.samples import as_picture, lay_over
from resnet.pictures.svg import inline_svg

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [2.0, 1.0, 0.5],
        "accuracy": [0.2, 0.5, 0.8],
        "val_loss": [2.1, 1.2, 0.9],
        "val_accuracy": [0.1, 0.4, 0.7],
        "learning_rate": [0.1, 0.05, 0.0],
    }
)


@pytest.mark.parametrize("what", ["loss", "accuracy"])
def test_curves_show_training_and_validation(what: str) -> None:
    axes = draw_curves(HISTORY, what, "unit").axes[0]
    lines = {
        line.get_label(): np.asarray(line.get_ydata()).tolist()
        for line in axes.lines
        if line.get_label() in ("training", "validation")
    }
    assert lines == {"training": HISTORY[what].tolist(), "validation": HISTORY[f"val_{what}"].tolist()}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", f"{what} (unit)")
    assert axes.get_legend() is not None


def test_the_learning_rate_is_drawn() -> None:
    (line,) = draw_learning_rate(HISTORY).axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [0.1, 0.05, 0.0]


def test_the_kept_epoch_is_marked() -> None:
    history = HISTORY.assign(val_loss=[2.1, 0.3, 0.9])
    (mark,) = [line for line in draw_curves(history, "loss", "unit").axes[0].lines if "kept" in str(line.get_label())]
    assert mark.get_label() == "kept: epoch 2"
    assert set(np.asarray(mark.get_xdata()).tolist()) == {2}


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    classes = ["a", "b", "$c$"]
    figure = draw_confusion(count_confusions(["a", "a", "a", "b"], ["a", "b", "b", "b"], classes), classes)
    axes = figure.axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), np.array([[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 0]]))
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "1"), ((1, 0), "2"), ((1, 1), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "$c$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    figure.draw_without_rendering()


def confused(classes: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    counts = 10 * np.eye(classes, dtype=np.int64)
    for one, other in pairs:
        counts[one, other] = counts[other, one] = 5
    return counts


def test_many_classes_stand_beside_those_they_are_confused_with() -> None:
    order = order_classes(confused(30, [(0, 29), (3, 17), (17, 25)])).tolist()
    place = {label: order.index(label) for label in range(30)}
    assert sorted(order) == list(range(30))
    assert abs(place[0] - place[29]) == 1
    assert abs(place[3] - place[17]) == abs(place[17] - place[25]) == 1


def test_few_classes_keep_their_order_and_so_do_those_that_nobody_confuses() -> None:
    assert order_classes(confused(10, [(0, 9)])).tolist() == list(range(10))
    assert order_classes(confused(40, [])).tolist() == list(range(40))


def test_the_commonest_confusions_come_first() -> None:
    counts = np.array([[6, 4, 0], [1, 9, 0], [0, 2, 0]])
    assert most_confused(counts, ["a", "b", "c"], 2) == [
        {"label": "a", "predicted": "b", "images": 4, "share": 0.4},
        {"label": "c", "predicted": "b", "images": 2, "share": 1.0},
    ]
    assert len(most_confused(counts, ["a", "b", "c"], 20)) == 3


def test_a_thousand_classes_can_be_drawn_and_no_confusion_is_lost() -> None:
    counts = confused(1000, [(0, 999)])
    figure = draw_confusion(counts, [f"class {number}" for number in range(1000)])
    cells = np.asarray(figure.axes[0].images[0].get_array())
    assert cells.shape == (250, 250)
    assert cells.max() == 1
    assert (cells[~np.eye(250, dtype=bool)] > 0).sum() in (0, 2)  # the two stand side by side, in one cell or in two
    figure.draw_without_rendering()


def test_the_reliability_diagram_shows_the_bins_that_have_images() -> None:
    bins = pd.DataFrame({"above": [0.0, 0.5], "up_to": [0.5, 1.0], "images": [0, 4], "confidence": [0.0, 0.9]})
    bins = bins.assign(accuracy=[0.0, 0.75], accuracy_low=[0.0, 0.3], accuracy_high=[1.0, 0.95])
    figure = draw_reliability(bins)
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert (np.asarray(points.get_xdata()).tolist(), np.asarray(points.get_ydata()).tolist()) == ([0.9], [0.75])
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0, 4]  # type: ignore[attr-defined]


def test_a_drawing_takes_the_colours_of_the_page_and_keeps_its_bytes() -> None:
    first, second = (inline_svg(draw_curves(HISTORY, "loss", "unit"), "loss", 'of "a" & b') for _ in range(2))
    assert first == second
    assert first.startswith("<svg ")
    assert 'class="loss" role="img" aria-label="of &#34;a&#34; &amp; b"' in first
    assert "currentColor" in first
    assert not re.search(r"#000000|<metadata|<\?xml|<!DOCTYPE|\d{4}-\d\d-\d\d|id=\"axes", first)
    other = inline_svg(draw_curves(HISTORY, "accuracy", "unit"), "accuracy", "")
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', other))


@pytest.mark.parametrize(("side", "kind", "shown"), [(8, "image/png", 8), (48, "image/png", 48), (400, "image/jpeg", 144)])
def test_small_images_are_shown_as_they_are_and_large_ones_smaller(side: int, kind: str, shown: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mime, content = as_picture(image)
    picture = Image.open(io.BytesIO(content))
    assert (mime, picture.size) == (kind, (shown, shown))
    if kind == "image/png":
        np.testing.assert_array_equal(np.asarray(picture), image)


def test_what_the_network_looked_at_is_bright_in_colour_and_the_rest_grey() -> None:
    heat = np.zeros((4, 4), np.uint8)
    heat[0, 3] = 255
    _, content = lay_over(np.full((32, 32, 3), 100, np.uint8), heat)
    pixels = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert pixels[10, 130].sum() > pixels[130, 10].sum() + 150
    assert np.ptp(pixels[130, 10]) < 12


def test_right_titles_are_green_and_wrong_ones_red_with_the_truth() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    figure = draw_grid(images, ["a", "b", "$x$"], ["a", "a", "$x$"], "title")
    titles = [(axes.get_title(), axes.title.get_color()) for axes in figure.axes]
    assert titles == [("a", RIGHT), ("a (is b)", WRONG), ("$x$", RIGHT)]
    figure.draw_without_rendering()
