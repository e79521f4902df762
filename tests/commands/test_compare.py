"""Comparisons of revisions, as text and as a page."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from commands.compare import as_text, compare_results, compare_several, several_as_text
from commands.results import Prediction, RevisionResults
from resnet.comparison.paired_comparison import compare_hits
from resnet.core.errors import UserError
from tests.browser import CHROMIUM, Tab

pytestmark = pytest.mark.usefixtures("in_revisions")


def test_the_differences_between_two_revisions() -> None:
    found = compare_results(RevisionResults("first"), RevisionResults("second"))
    assert (found.paired.first, found.paired.second, found.paired.gained, found.paired.lost) == (4, 3, 1, 2)
    assert found.parameters == {"train.epochs": (3, 5)}
    assert found.metrics == {"accuracy": (0.8, 0.6), "loss": (0.5, 0.5)}
    assert [(image.path, image.before, image.after) for image in found.gained] == [("b/2", "a", "b")]
    assert [image.path for image in found.lost] == ["<b>/3", "a/1"]
    assert [(change.label, change.gained, change.lost) for change in found.classes] == [("<b>", 0, 1), ("a", 0, 1), ("b", 1, 0)]


def test_the_text_has_the_figures_and_the_images() -> None:
    text = as_text(compare_results(RevisionResults("first"), RevisionResults("second")))
    assert "first   first (" in text
    assert "accuracy 80.00 % (4 of 5)" in text
    assert "difference -20.00 points, 95 % interval " in text
    assert "p = 1.0000; images gained: 1, lost: 2" in text
    assert "There is no significant difference on these 5 images: the interval contains zero." in text
    assert "train.epochs: 3 -> 5" in text
    assert "  a/1: is a; a (0.75) -> b (0.75)" in text


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ("more", "1 of 6 is only in more, namely c/1 (preprocess.split_seed is 0 and 1)"),
        ("other", "5 of 5 are only in first, such as <b>/3; 5 of 5 are only in other, such as <b>/3x."),
        ("relabelled", "1 has two labels, namely a/2: a and b."),
        ("repainted", "1 has other pixels, namely b/1."),
    ],
)
def test_results_on_different_test_images_are_refused(other: str, difference: str) -> None:
    with pytest.raises(UserError) as caught:
        compare_results(RevisionResults("first"), RevisionResults(other))
    assert str(caught.value).startswith(f"the test images of first and {other} differ: {difference}")


def test_new_training_images_do_not_matter() -> None:
    assert compare_results(RevisionResults("first"), RevisionResults("grown")).paired.difference == 0


def test_several_revisions_are_compared_with_the_first() -> None:
    found = compare_several([RevisionResults(name) for name in ("first", "second", "grown")])
    assert [(run.hits, run.images, run.history) for run in found] == [(4, 5, []), (3, 5, []), (4, 5, [])]
    assert [run.paired and run.paired.difference for run in found] == [None, pytest.approx(-0.2), 0]
    text = several_as_text(found)
    assert "-20.00, -66.11 to +39.81, p = 1.0000: not significant" in text
    assert "train.epochs: 3, 5, 3" in text


def test_a_small_p_is_not_zero() -> None:
    first, second = compare_several([RevisionResults(name) for name in ("first", "second")])
    hits = np.arange(60) < 30
    text = several_as_text([first, replace(second, paired=compare_hits(hits, hits | True))])
    assert ", p < 0.0001: " in text  # by the binomial distribution 2 / 2^30
    assert "0.0000" not in text


def test_a_page_of_several_revisions(tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("compare", "first", "second", "grown", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "3 runs, 5 test images" in page
    assert '<td data-name="p">\u2013</td>' in page


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (["second", "nosuch"], "there is no revision and no experiment 'nosuch' here"),
        (["second", "nothing"], "nothing has no results"),
        (["second", "other"], "the test images of first and other differ"),
        (["second"] * 20, "received 21 revisions, expected at most 20"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(others: list[str], sentence: str, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("compare", "first", *others)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"compare: {sentence}")


def test_the_history_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "epoch,loss,val_loss,val_accuracy\n1.0,2.0,2.5,0.5\n2.0,1.0,nan,0.75\n"
    run = RevisionResults("workspace")
    run._stages["train"] = {"outs": [{"path": "history.csv", "md5": "0"}]}
    monkeypatch.setattr(run, "_read", {"history.csv": table}.__getitem__)
    assert [row["val_accuracy"] for row in run.history] == [0.5, 0.75]


def test_a_page_that_cannot_be_written_is_one_sentence(train_resnet: Callable[..., Result]) -> None:
    for page in ("/proc/page.html", "a" * 300, "dvc.yaml/page.html"):
        result = train_resnet("compare", "first", "second", "--html", page)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert result.stderr.startswith("compare: ")


def test_markdown_is_all_that_it_prints(tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("compare", "first", "second", "--markdown", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    assert result.stdout.startswith("### There is no significant difference on these 5 images")
    assert "| <code>train.epochs</code> | <code>3</code> | <code>5</code> |" in result.stdout
    assert result.stdout.endswith("</details>\n")
    assert result.stderr == f"\ncompare: {tmp_path}/page.html shows all of it\n"


def test_the_page_has_all_images(tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("compare", "first", "second", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    assert "page.html shows all of it" in result.stdout
    page = (tmp_path / "page.html").read_text("utf-8")
    for words in ("-20.00 points of accuracy", "train.epochs", "b/2", "a/1", "&lt;b&gt;/3", "p&nbsp;=&nbsp;1.0000"):
        assert words in page
    assert "<b>" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_the_page_without_complaint(tmp_path: Path, train_resnet: Callable[..., Result], tab: Tab) -> None:
    train_resnet("compare", "first", "second", "--html", str(tmp_path / "page.html"))
    tab.open(tmp_path / "page.html")
    assert "Images lost: 2" in tab.document()
    assert tab.messages == []


def test_names_of_strangers_forge_no_line() -> None:
    found = compare_results(RevisionResults("first"), RevisionResults("second"))
    image = replace(found.lost[0], path="x\naccuracy 100 %", label="\u202ecat", before="\x1b[2J")
    change = replace(found.classes[0], label="dog\r\nbird")
    text = as_text(replace(found, first="a\nb", lost=[image], classes=[change], parameters={"x\n": (1, 2)}))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "  x\\naccuracy 100 %: is \\u202ecat; \\x1b[2J (0.75)" in text
    runs = compare_several([RevisionResults("first"), RevisionResults("second"), RevisionResults("grown")])
    several = several_as_text([replace(run, name=f"{run.name}\x1b[2J", code=["a\nb"]) for run in runs])
    assert all(line.isprintable() for line in several.split("\n"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("params.yaml", "is a file that Git tracks, which the page would replace"),
        ("metrics.json", "is metrics.json or in it, which belongs to the pipeline"),
        ("raw/page.html", "is raw or in it, which belongs to the pipeline"),
        (".git/page.html", "is .git or in it, which belongs to the pipeline, Git or DVC"),
    ],
)
def test_a_page_replaces_no_file_of_the_project(name: str, words: str, train_resnet: Callable[..., Result]) -> None:
    before = Path(name).read_bytes() if Path(name).exists() else None
    result = train_resnet("compare", "first", "second", "--html", name)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"compare: {name} {words}")
    assert (Path(name).read_bytes() if Path(name).exists() else None) == before


class _Run(SimpleNamespace):
    def __str__(self) -> str:
        return "run"


def of_sets(predicted: dict[str, str]) -> Any:
    """The results of a run on images with several labels each, with these predictions."""
    labels = {"1": "cat|dog", "2": "", "3": "dog"}
    found = {path: Prediction(labels[path], guess, 0.5) for path, guess in predicted.items()}
    metrics = {"mean_average_precision": 0.5, "accuracy": 0.5, "micro_f1": 0.5}
    return _Run(name="run", parameters={}, code={}, data="0", history=[], predictions=found, metrics=metrics, of_sets=True)


def test_with_several_labels_whole_sets_are_compared() -> None:
    first, second = of_sets({"1": "cat", "2": "", "3": "dog"}), of_sets({"1": "cat|dog", "2": "cat", "3": "dog"})
    found = compare_results(first, second)
    assert (found.paired.first, found.paired.second, found.paired.gained, found.paired.lost) == (2, 2, 1, 1)
    assert [(image.path, image.label, image.before, image.after) for image in [*found.gained, *found.lost]] == [
        ("1", "cat | dog", "cat", "cat | dog"),
        ("2", "none of the classes", "none of the classes", "cat"),
    ]
    assert [(change.label, change.images, change.first, change.second) for change in found.classes] == [("dog", 2, 1, 2)]
    text = as_text(found)
    assert "exact-match accuracy 66.67 % (2 of 3)" in text
    assert "mean_average_precision" in text
    assert "  2: is none of the classes; none of the classes (0.50) -> cat (0.50)" in text
    several = compare_several([first, second, first])
    assert {run.measure for run in several} == {"exact-match accuracy"}
    assert several_as_text(several).startswith("    run  exact-match accuracy  difference")


def test_one_label_and_several_are_not_compared() -> None:
    first, second = of_sets({"1": "cat"}), of_sets({"1": "cat"})
    second.of_sets, second.name = False, "other"
    with pytest.raises(UserError, match="run has several labels for each image and other one, so their figures mean different"):
        compare_results(first, second)
    with pytest.raises(UserError, match="run has several labels for each image and other one"):
        compare_results(second, first)


def test_with_several_labels_another_set_is_another_label() -> None:
    first, second = of_sets({"2": ""}), of_sets({"2": ""})
    second.predictions["2"] = Prediction("cat", "cat", 0.5)
    with pytest.raises(UserError, match="1 has two labels, namely 2: none of the classes and cat"):
        compare_results(first, second)
