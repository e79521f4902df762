"""Counts of confusions, the order of the classes, and the confusion matrix as a figure."""

import numpy as np
import numpy.typing as npt
import pytest

from resnet.pictures.confusion import count_confusions, draw_confusion, most_confused, order_classes


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    classes = ["a", "b", "$c$"]
    figure = draw_confusion(count_confusions(["a", "a", "a", "b"], ["a", "b", "b", "b"], classes), classes)
    axes = figure.axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), np.array([[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 0]]))
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "1"), ((1, 0), "2"), ((1, 1), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "$c$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    figure.draw_without_rendering()


@pytest.mark.parametrize("background", [1.0, 18 / 255])  # of a light page, and of a dark one in Chromium
@pytest.mark.parametrize("share", [1, 25, 50, 75, 90, 95, 96, 100])
def test_numbers_are_readable_on_their_cells(share: int, background: float) -> None:
    axes = draw_confusion(np.array([[share, 100 - share], [0, 1]]), ["a", "b"]).axes[0]
    (number,) = [text for text in axes.texts if text.get_position() == (0, 0)]
    *blue, alpha = axes.images[0].to_rgba(np.array([[share / 100]]))[0, 0].tolist()
    cell = [alpha * channel + (1 - alpha) * background for channel in blue]
    white = number.get_color() == "white" or background < 0.5  # black is the text colour of the page
    assert contrast([float(white)] * 3, cell) >= 4.5


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2.2: the contrast ratio of two colours with channels in [0, 1]."""
    dark, bright = sorted(
        0.2126 * red + 0.7152 * green + 0.0722 * blue
        for red, green, blue in (
            [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in each] for each in (one, other)
        )
    )
    return (bright + 0.05) / (dark + 0.05)


def confused(classes: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    counts = 10 * np.eye(classes, dtype=np.int64)
    for one, other in pairs:
        counts[one, other] = counts[other, one] = 5
    return counts


def test_many_classes_are_next_to_those_they_are_confused_with() -> None:
    order = order_classes(confused(30, [(0, 29), (3, 17), (17, 25)])).tolist()
    place = {label: order.index(label) for label in range(30)}
    assert sorted(order) == list(range(30))
    assert abs(place[0] - place[29]) == 1
    assert abs(place[3] - place[17]) == abs(place[17] - place[25]) == 1


def test_classes_are_ordered_by_shares_of_all_their_images() -> None:
    counts = np.diag(np.full(24, 500))
    counts[3, 17] = counts[17, 3] = 250
    rare = range(4, 8)  # of these classes one image each has a wrong class in place; the other labels are only missing
    counts[rare, rare], counts[rare, 3] = 0, 1
    axes = draw_confusion(counts, [f"{number}" for number in range(24)], support=np.full(24, 1000)).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert abs(names.index("3") - names.index("17")) == 1


def test_few_classes_and_classes_without_confusions_keep_their_order() -> None:
    assert order_classes(confused(10, [(0, 9)])).tolist() == list(range(10))
    assert order_classes(confused(40, [])).tolist() == list(range(40))


def test_the_most_frequent_confusions_come_first() -> None:
    counts = np.array([[6, 4, 0], [1, 9, 0], [0, 2, 0]])
    assert most_confused(counts, ["a", "b", "c"], 2) == [
        {"label": "a", "predicted": "b", "images": 4, "share": 0.4},
        {"label": "c", "predicted": "b", "images": 2, "share": 1.0},
    ]
    assert len(most_confused(counts, ["a", "b", "c"], 20)) == 3
    (first,) = most_confused(counts, ["a", "b", "c"], 1, support=np.array([20, 10, 2]))  # of images with several labels each
    assert first == {"label": "a", "predicted": "b", "images": 4, "share": 0.2}


def test_a_thousand_classes_can_be_drawn_and_no_confusion_is_lost() -> None:
    counts = confused(1000, [(0, 999)])
    figure = draw_confusion(counts, [f"class {number}" for number in range(1000)])
    cells = np.asarray(figure.axes[0].images[0].get_array())
    assert cells.shape == (250, 250)
    assert cells.max() == 1
    assert (cells[~np.eye(250, dtype=bool)] > 0).sum() in (0, 2)  # they are neighbours, in one cell or in two
    figure.draw_without_rendering()


def test_long_names_are_shortened_beside_the_axes() -> None:
    classes = ["a" * 24, "b" * 25]
    figure = draw_confusion(count_confusions(classes, classes, classes), classes)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a" * 24, "b" * 23 + "\u2026"]
