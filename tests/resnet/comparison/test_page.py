"""The page that compares two runs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from commands.compare import as_text
from resnet.comparison.markdown import as_markdown
from resnet.comparison.page import Comparison, Image, render_comparison
from resnet.comparison.paired_comparison import ClassChange, compare_hits

GAINED = Image("a/<1>.png", "a", "b", 0.75, "a", 0.5)
LOST = Image("b/2.png", "b", "b", 0.9, "a", 0.625)


def comparison(gained: int, lost: int, both: int = 50) -> Comparison:
    first = np.array([*[True] * both, *[False] * gained, *[True] * lost])
    second = np.array([*[True] * both, *[True] * gained, *[False] * lost])
    return Comparison(
        first="main (1234567)",
        second="<b>exp</b>",
        paired=compare_hits(first, second),
        metrics={"loss": (0.5, 0.25)},
        parameters={"train.epochs": (3, None)},
        code=["resnet/network/blocks.py"],
        classes=[ClassChange("a", images=8, first=6, second=7, gained=1, lost=0)],
        gained=[GAINED] * gained,
        lost=[LOST] * lost,
    )


def words(page: str) -> str:
    text = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"</t[dh]>|<tr>", " ", text)
    return " ".join(re.sub(r"<[^>]+>", "", text).replace("&nbsp;", " ").replace("\u00a0", " ").split())


def test_the_page_has_all_parts() -> None:
    text = words(render_comparison(comparison(gained=2, lost=1)))
    for part in (
        "&lt;b&gt;exp&lt;/b&gt; compared with main (1234567) +1.89 points of accuracy",  # 1 of 53
        "on the same 53 test images",
        "p = 1.0000; 2 images gained, 1 lost",
        "correct 51 52 +1",
        "loss 0.5000 0.2500 -0.2500",
        "train.epochs 3 null",
        "Code that differs: resnet/network/blocks.py",
        "a 8 75.0 % 87.5 % ↑ 1 0",
        "a/&lt;1&gt;.png a b 0.750 a 0.500",
        "b/2.png b b 0.900 a 0.625",
    ):
        assert part in text


@pytest.mark.parametrize(("mirror", "which"), [((None, True), "second"), ((True, False), "first"), ((None, False), "")])
def test_a_test_with_mirror_images_is_named_beside_a_plain_one(mirror: tuple[object, object], which: str) -> None:
    found = replace(comparison(gained=2, lost=1), parameters={"evaluate.mirror": mirror})
    expected = f"Only the {which} was tested with each image's mirror image"
    for text in (words(render_comparison(found)).replace("&#39;", "'"), as_markdown(found), as_text(found)):
        assert (expected in text) == bool(which)
        assert ("mirror image" in text) == bool(which)


def test_a_small_p_is_not_zero() -> None:
    text = words(render_comparison(comparison(gained=30, lost=0)))  # by the binomial distribution p = 2 / 2^30
    assert "McNemar's exact test: p &lt; 0.0001; 30 images gained" in text


@pytest.mark.parametrize(
    ("gained", "lost", "conclusion"),
    [
        (30, 2, "The second network is significantly better."),
        (2, 30, "The second network is significantly worse."),
        (4, 3, "There is no significant difference on these 57 images: the interval contains zero."),
    ],
)
def test_the_conclusion_follows_the_interval(gained: int, lost: int, conclusion: str) -> None:
    found = comparison(gained, lost)
    assert found.conclusion == conclusion
    assert conclusion in words(render_comparison(found))


def test_the_conclusion_about_one_image_is_in_the_singular() -> None:
    found = comparison(1, 1)
    found = replace(found, paired=replace(found.paired, images=1))
    assert found.conclusion == "There is no significant difference on this image: the interval contains zero."


def test_two_equal_runs_have_a_page() -> None:
    equal = replace(comparison(0, 0), parameters={}, code=[], classes=[])
    text = words(render_comparison(equal))
    assert "Parameters that differ None." in text
    assert "Classes that changed None: both networks are correct on the same images." in text
    assert "Images gained: 0 None. Images lost: 0 None." in text
    assert "Code that differs" not in text


def test_of_many_images_a_thousand_are_listed() -> None:
    page = render_comparison(comparison(gained=1002, lost=0))
    assert page.count("a/&lt;1&gt;.png") == 1000
    assert "and 2 more" in words(page)


def test_the_page_loads_nothing_and_names_stay_text() -> None:
    page = render_comparison(comparison(1, 1))
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(|<script|<link|<iframe|(?:src|href)=", page)
    assert "<b>" not in page


def test_with_several_labels_an_image_the_accuracy_is_that_of_whole_sets() -> None:
    found = replace(comparison(gained=2, lost=1), measure="exact-match accuracy")
    text = words(render_comparison(found))
    assert "+1.89 points of exact-match accuracy" in text
    assert "Of the images that have a class, how many are predicted to have it, too." in text
    assert "| exact-match accuracy | correct images |" in as_markdown(found)
    assert "exact-match accuracy 96.23 % (51 of 53)" in as_text(found)
    text = words(render_comparison(replace(found, classes=[])))
    assert "both networks are correct on the same images" not in text  # they may differ in classes that are wrong
