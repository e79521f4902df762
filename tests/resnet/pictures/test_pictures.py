"""What is drawn, and what is written on it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resnet.pictures.confusion import draw_confusion
from resnet.pictures.curves import draw_curves
from resnet.pictures.grid import RIGHT, WRONG, draw_grid
from resnet.pictures.report import render_report

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
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert lines == {"training": HISTORY[what].tolist(), "validation": HISTORY[f"val_{what}"].tolist()}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", f"{what} (unit)")
    assert axes.get_legend() is not None


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    figure = draw_confusion(["a", "a", "a", "b"], ["a", "b", "b", "b"], ["a", "b", "$c$"])
    axes = figure.axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), np.array([[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 0]]))
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "1"), ((1, 0), "2"), ((1, 1), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "$c$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    figure.draw_without_rendering()


def test_a_thousand_classes_can_be_drawn() -> None:
    names = [f"class {number}" for number in range(1000)]
    draw_confusion(names, names, names).draw_without_rendering()


def test_right_titles_are_green_and_wrong_ones_red_with_the_truth() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    figure = draw_grid(images, ["a", "b", "$x$"], ["a", "a", "$x$"], "title")
    titles = [(axes.get_title(), axes.title.get_color()) for axes in figure.axes]
    assert titles == [("a", RIGHT), ("a (is b)", WRONG), ("$x$", RIGHT)]
    figure.draw_without_rendering()


def report(tmp_path: Path, names: tuple[str, str]) -> str:
    (tmp_path / "loss.png").write_bytes(b"picture")
    predictions = pd.DataFrame({"path": ["p/1", "p/2"], "label": [names[0]] * 2, "predicted": names, "probability": [0.9, 0.8]})
    metrics = {"accuracy": 0.5, "accuracy_low": 0.0945, "accuracy_high": 0.9055, "loss": 0.3, "images": 2}
    return render_report(metrics, HISTORY, predictions, "Layer (type)", {"Loss": tmp_path / "loss.png"})


def test_the_page_shows_all_of_it(tmp_path: Path) -> None:
    page = report(tmp_path, ("cat", "dog"))
    assert "50.00 % accuracy" in page
    assert "9.45 % to 90.55 %" in " ".join(page.split())
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in page
    assert "1 of 2 images were taken for another class" in page
    assert re.search(r"<td>p/2</td><td>cat</td><td>dog</td><td>0\.800</td>", page)
    assert "Layer (type)" in page
    assert re.search(r"<td>3</td><td>0\.5</td><td>0\.8</td><td>0\.9</td>", page)


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = report(tmp_path, ("cat", "dog"))
    assert page.count('href="data.html"') == 1  # the page beside it
    assert not re.search(r"(?:src|href)=\"(?!data:|data\.html\")|@import|url\(", page)


def test_names_stay_text(tmp_path: Path) -> None:
    page = report(tmp_path, ("<script>alert(1)</script>", "{{ 7 * 7 }}"))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
