"""The page of results of images with several labels each."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from resnet.core.label_sets import LabelSets
from resnet.evaluation.calibration import Reliability
from resnet.evaluation.findings import of_sets, probabilities_of_observed
from resnet.pictures.confusion import draw_confusion
from resnet.pictures.label_sets import count_pairs
from resnet.pictures.report import Results, Samples, render_report
from resnet.pictures.report_of_sets import draw_matrix
from tests.browser import CHROMIUM, Tab
from tests.hostile.texts import TEXTS
from tests.resnet.pictures.test_report import DATA, HISTORY, NETWORK, PROVENANCE, with_temperature, words


def bins(found: Reliability) -> pd.DataFrame:
    edges, accuracy = np.arange(16) / 15, found.hits / np.maximum(found.images, 1)
    columns = {"above": edges[:-1], "up_to": edges[1:], "images": found.images, "confidence": found.confidence}
    return pd.DataFrame(columns).assign(accuracy=accuracy, accuracy_low=accuracy * 0.9, accuracy_high=accuracy * 0.9 + 0.1)


def logits_of(truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Logits that are right for most pairs of image and class."""
    return (2 * (2 * truth - 1) + 1.5 * np.random.default_rng(1).normal(size=truth.shape)).astype(np.float32)


def results_of_sets(
    classes: list[str],
    images: int,
    logits: npt.NDArray[np.float32] | None = None,
    *,
    samples: int = 4,
    side: int = 32,
    offset: float = 0.25,
) -> Results:
    """Results on images of which one in ten has none of the classes; all the figures follow from the logits."""
    generator = np.random.default_rng(0)
    truth = generator.random((images, len(classes))) < 1.6 / len(classes)
    truth[::10] = False
    sets, labels = np.unique(truth, axis=0, return_inverse=True)
    logits = logits_of(truth) if logits is None else logits
    thresholds = np.linspace(0.3, 0.5, len(classes)).round(6).tolist()
    found = of_sets(
        labels.ravel().astype(np.uint16),
        LabelSets(sets),
        logits,
        classes,
        temperature=0.5,
        offset=offset,
        thresholds=thresholds,
    )
    rows = np.concatenate([np.flatnonzero(~found.correct)[: samples // 2], np.flatnonzero(found.correct)[: samples // 2]])
    columns = {"label": found.labels, "predicted": found.predicted, "probability": found.confidence}
    per_class = pd.DataFrame(found.per_class)
    some = [f"average_precision{end}" for end in ("", "_low", "_high")]
    return Results(
        classes=classes,
        metrics=found.figures,
        details={
            **found.details,
            "network": NETWORK | {"multi_label": True, "thresholds": thresholds, "offset": offset},
            "provenance": PROVENANCE,
        },
        gate={"passed": True, "checks": []},
        history=HISTORY,
        per_class=per_class.assign(**{name: per_class[name].replace("", "nan").astype(float) for name in some}),
        calibration=bins(found.calibration),
        uncalibrated=bins(found.uncalibrated),
        predictions=pd.DataFrame(
            {"path": [f"p/{number}.png" for number in range(images)], **columns, "label_probability": found.label_probability}
        ),
        samples=Samples(
            rows,
            generator.integers(0, 256, (len(rows), side, side, 3), dtype=np.uint8),
            generator.uniform(-1, 1, (len(rows), 8, 8)).astype(np.float32),
            np.full(len(rows), 0.001),
            found.observed[rows],
            probabilities_of_observed(logits[rows], found.observed[rows]),
        ),
        model_summary="Layer (type)",
        data=DATA,
        parameters={"ingest": {"source": "photos"}},
        hashes={},
    )


@pytest.fixture(scope="module")
def several() -> Results:
    return results_of_sets(["cat", "dog", "owl", "hen"], 80)


def test_the_head_has_the_mean_average_precision_and_the_exact_matches(several: Results) -> None:
    text, metrics = words(render_report(several)), several.metrics
    assert f"Results on the test images {metrics['mean_average_precision']:.4f} mean average precision" in text
    low, high = (f"{metrics[f'mean_average_precision_{end}']:.4f}" for end in ("low", "high"))
    assert f"mean of 4 classes; 95 % interval {low} to {high} (jackknife over images). Images in random order" in text
    labels = several.predictions["label"]
    sizes = labels.str.count(r"\|") + (labels != "")
    assert f"would reach {sizes.mean() / 4:.4f}, the dotted line. An image has {sizes.mean():.2f} of the classes" in text
    wrong = int((several.predictions["label"] != several.predictions["predicted"]).sum())
    assert f"exactly right for {100 * metrics['accuracy']:.2f} % of the images (exact-match accuracy; 95 % interval" in text
    assert f"{wrong} images have at least one error." in text
    assert f"micro F1 {metrics['micro_f1']:.4f}" in text
    assert "initial weights" not in text or "multi-label" in text


def test_the_most_frequent_set_as_the_only_answer_is_named(several: Results) -> None:
    sizes = several.predictions["label"].value_counts()
    text = words(render_report(several))
    expected = sizes.index[0].replace("|", " | ") or "none of the classes"
    assert sizes.iloc[0] > sizes.iloc[1]
    share = 100 * sizes.iloc[0] / 80
    assert f"The most frequent set, {expected}, predicted for every image would be right for {share:.1f} %." in text


def test_each_class_has_its_threshold_and_average_precision(several: Results) -> None:
    text = words(render_report(several))
    assert "class images average precision 95 % interval threshold precision recall F1" in text
    for row in several.per_class.to_dict("records"):
        low, high = (row[f"average_precision_{end}"] for end in ("low", "high"))
        interval = f"{low:.3f} to {high:.3f}" if low < high else "\u2013"  # without a mistake
        assert f"{row['label']} {row['support']} {row['average_precision']:.3f} {interval} {row['threshold']:.3f}" in text


def test_a_mistake_says_what_is_missing_and_what_is_wrong(several: Results) -> None:
    text = words(render_report(several)).partition("Errors with the highest confidence")[2]
    row = several.predictions.iloc[several.samples.rows[0]]
    truth, found = (set(filter(None, row[name].split("|"))) for name in ("label", "predicted"))
    assert truth != found
    for word, names in (("missing", truth - found), ("wrong", found - truth)):
        assert (f"{word} {' | '.join(sorted(names, key=several.classes.index))}" in text) or not names
    assert several.samples.observed is not None
    assert several.samples.probability is not None
    name, probability = several.classes[several.samples.observed[0]], several.samples.probability[0]
    assert f"map of {name} {probability:.3f}, with one place covered 0.001" in text
    assert f'alt="occlusion map of {name}"' in render_report(several)


@pytest.mark.parametrize(
    ("temperature", "words_of_it"),
    [(0.9, "moves all probabilities away from 0.5"), (1.0, "leaves the probabilities nearly"), (1.1, "towards 0.5")],
)
def test_it_says_what_the_temperature_does(several: Results, temperature: float, words_of_it: str) -> None:
    assert words_of_it in words(render_report(with_temperature(several, temperature)))


def test_calibration_is_about_pairs(several: Results) -> None:
    text = words(render_report(several))
    assert "error is the mean gap between probability and share over all pairs" in text
    assert "0.612, the temperature, which moves all probabilities away from 0.5, and 0.25 was then added, which raises" in text
    assert "This was fitted on 4 validation images, and the thresholds after it." in text
    assert "and 0.5 was then subtracted, which lowers them" in words(
        render_report(results_of_sets(["a", "b"], 60, offset=-0.5))
    )
    assert "away from 0.5. This was fitted" in words(render_report(results_of_sets(["a", "b"], 60, offset=0.0)))
    assert "probability pairs mean probability share with the class" in text


@pytest.mark.parametrize(
    ("factor", "offset", "kind"),
    [
        (0.1, 0, "too near to 0.5: most of those above it are too low, of those below it too high."),
        (30, 0, "too far from 0.5: most of those above it are too high, of those below it too low."),
        (1, 2, "too high: their mean is "),
        (1, -2, "too low: their mean is "),
    ],
)
def test_the_kind_of_wrong_probabilities_is_named(factor: float, offset: float, kind: str) -> None:
    truth = np.random.default_rng(0).random((300, 2)) < 0.8  # as in results_of_sets
    truth[::10] = False
    logits = (factor * logits_of(truth) + offset).astype(np.float32)
    text = words(render_report(results_of_sets(["cat", "dog"], 300, logits)))
    mean = float((1 / (1 + np.exp(-logits.astype(float)))).mean())
    means = f"{mean:.4f}, and {truth.mean():.4f} of the pairs are of images that have the class."
    assert f"The probabilities are {kind}{means if kind.endswith(' ') else ''}" in text


def test_without_labels_the_head_has_the_exact_matches(several: Results) -> None:
    metrics = {name: value for name, value in several.metrics.items() if "precision" not in name}
    text = words(render_report(replace(several, metrics=metrics)))
    assert f"{100 * metrics['accuracy']:.2f} % exact-match accuracy" in text
    assert "No test image has any of the 4 classes, so there is no average precision." in text


def test_a_class_without_images_has_no_average_precision(several: Results) -> None:
    names = ("average_precision", "average_precision_low", "average_precision_high")
    per_class = several.per_class.assign(**{name: several.per_class[name].where(several.per_class.index > 0) for name in names})
    per_class.loc[0, "support"] = 0
    details = {**several.details, "average_precision_classes": 3}
    text = words(render_report(replace(several, per_class=per_class, details=details)))
    assert "mean of 3 of 4 classes" in text
    assert "cat 0 \u2013 \u2013" in text


def test_the_weakest_of_many_classes_comes_first() -> None:
    found = results_of_sets([f"class {number}" for number in range(30)], 300)
    page = render_report(replace(found, per_class=found.per_class.assign(f1=1 - found.per_class["average_precision"])))
    weakest = found.per_class.sort_values(["average_precision", "label"])["label"].iloc[0]
    assert re.findall(r'<th scope="row"><bdi>(class \d+)</bdi>', page)[0] == weakest
    assert "Order lowest average precision lowest recall most images name" in words(page)
    assert "Classes that are confused with each other are next to each other." in words(page)


def test_the_matrix_has_the_recall_on_its_diagonal(several: Results) -> None:
    labels, predicted = several.predictions["label"].tolist(), several.predictions["predicted"].tolist()
    figure = draw_matrix(count_pairs(labels, predicted, several.classes), several.classes)
    cells = np.asarray(figure.axes[0].images[0].get_array())
    assert np.diag(cells) == pytest.approx(several.per_class["recall"].to_numpy())
    assert figure.axes[0].get_title().startswith("Diagonal: class found")
    counts = np.array([[2, 2], [0, 4]])
    shares = draw_confusion(counts, ["a", "b"]).axes[0].images[0].get_array()
    assert np.asarray(shares).tolist() == [[0.5, 0.5], [0, 1]]  # with one label an image, of the row


def test_names_stay_text() -> None:
    names = [text for text in TEXTS if "|" not in text][:12]
    page = render_report(results_of_sets(names, 60))
    assert not re.search(r"<script|<iframe|<img(?! width| class=\"pixelated\")", page)
    assert page == render_report(results_of_sets(names, 60))


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_opens_it_without_messages(several: Results, tmp_path: Path, tab: Tab) -> None:
    page = tmp_path / "page.html"
    page.write_text(render_report(several), encoding="utf-8")
    tab.open(page)
    assert (tab.messages, tab.requests) == ([], [])
