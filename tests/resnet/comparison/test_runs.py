"""The page that compares several runs."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from commands.compare import several_as_text
from resnet.comparison.paired_comparison import compare_hits
from resnet.comparison.runs import Run, differing, mirror_remark, render_runs
from tests.hostile.texts import TEXTS
from tests.resnet.comparison.test_page import words

FIRST = np.arange(100) < 75


def run(number: int, gained: int = 0, lost: int = 0, **parameters: object) -> Run:
    hits = FIRST.copy()
    hits[75 : 75 + gained] = True
    hits[:lost] = False
    return Run(
        name=f"<b>exp {number}</b>",
        images=100,
        hits=int(hits.sum()),
        metrics={"accuracy": float(hits.mean()), "loss": 0.5, "macro_f1": 0.7, "calibration_error": 0.05},
        parameters={"seed": 0, "train.epochs": 3, **parameters},
        history=[{"epoch": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}, {"epoch": 2.0, "val_loss": 0.5, "val_accuracy": 0.75}],
        paired=None if number == 1 else compare_hits(FIRST, hits),
        code=["resnet/network"] if number == 3 else [],
    )


RUNS = [run(1), run(2, gained=20, lost=1, **{"train.epochs": 5}), run(3, lost=2), run(4, lost=20)]


def test_the_page_has_all_parts() -> None:
    text = words(render_runs(RUNS))
    for part in (
        "Comparison of runs 4 runs, 100 test images",
        "The highest accuracy is 94.00 %, of &lt;b&gt;exp 2&lt;/b&gt;.",
        "With 3 comparisons",
        "75.00 %65.70 to 82.45",  # Wilson's interval: (75 + 1.92 \u00b1 1.96 \u221a(18.75 + 0.96)) / 103.84
        "+19.00",
        "better",
        "-2.00",
        "not significant",
        "worse",
        "Validation loss, nats",
        "train.epochs",
        "&lt;b&gt;exp 3&lt;/b&gt;: resnet/network",
    ):
        assert part in text


def test_runs_that_were_tested_with_mirror_images_are_named() -> None:
    runs = [run(1), run(2, **{"evaluate.mirror": True}), run(3, **{"evaluate.mirror": False})]
    for text in (words(render_runs(runs)).replace("&#39;", "'"), several_as_text(runs)):
        assert "Only run 2 was tested with each image's mirror image" in text
    assert mirror_remark([run(1), *[run(number, **{"evaluate.mirror": True}) for number in (2, 3)]]).startswith(
        "Only the runs 2, 3 were "
    )
    assert mirror_remark(runs[1:2]) == mirror_remark([runs[0], runs[2]]) == ""


def test_only_parameters_that_differ_are_shown() -> None:
    assert differing(RUNS) == {"train.epochs": [3, 5, 3, 3]}
    assert differing([run(1), replace(run(2), parameters={"seed": 0})]) == {"train.epochs": [3, None]}


def test_equal_runs_without_a_history_have_a_page() -> None:
    text = words(render_runs([replace(run(1), history=[]), replace(run(2), history=[])]))
    assert "The runs have no history of their training." in text
    assert "Parameters that differ None." in text


def test_the_page_loads_nothing_and_names_stay_text() -> None:
    page = render_runs(RUNS)
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(|<script|<link|<iframe|(?:src|href)=", page)
    assert "<b>exp" not in page
    assert page == render_runs(RUNS)


class Tags(HTMLParser):
    """The elements and attributes of a page, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_texts_with_a_meaning_elsewhere_stay_text() -> None:
    for start in range(0, len(TEXTS), 19):
        some = [
            replace(run(2), name=text, parameters={"ingest.source": text, text: 1}, code=[text])
            for text in TEXTS[start : start + 19]
        ]
        page = render_runs([run(1), *some])
        page_tags = Tags()
        page_tags.feed(page)
        assert not {"script", "iframe", "img", "form", "link", "a"} & page_tags.tags
        assert not [name for name in page_tags.attributes if name.startswith("on") or name in ("href", "src")]
        assert not re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e]", page)


@pytest.mark.parametrize("number", [2, 11, 20])
def test_every_run_has_a_line_of_its_own_look(number: int) -> None:
    page = render_runs([run(place, **{"train.epochs": place}) for place in range(1, number + 1)])
    assert page.count("<polyline") == 3 * number  # loss, accuracy, parameters
    looks = re.findall(r"\.r\d+ \{ (stroke: [^}]*dasharray: [^;]*);", page)
    assert len(set(looks)) == number


def test_with_several_labels_an_image_there_is_the_mean_average_precision() -> None:
    runs = [
        replace(one, measure="exact-match accuracy", metrics={**one.metrics, "mean_average_precision": 0.875}) for one in RUNS
    ]
    text = words(render_runs(runs))
    assert "The highest exact-match accuracy is 94.00 %" in text
    assert "p mAP macro F1 loss calib. error" in text
    assert "0.8750 0.7000 0.5000 0.0500" in text
    assert "mAP" not in render_runs(RUNS)
    lines = several_as_text(runs).splitlines()
    assert "exact-match accuracy  difference, 95 %" in lines[0]
    assert lines[0].index("  difference") == lines[1].index(" %") + 2
