"""The report: its content, the escaping of names, and that a browser opens it without errors."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resnet.evaluation.calibration import reliability
from resnet.evaluation.metrics import answers, detail, per_class, summarise
from resnet.pictures.data_warnings import DataWarning
from resnet.pictures.report import Results, Samples, render_report
from tests.browser import CHROMIUM, Tab

HISTORY = pd.DataFrame(
    {
        "epoch": [1.0, 2.0, 3.0],
        "loss": [2.0, 1.0, 0.5],
        "accuracy": [0.2, 0.5, 0.8],
        "val_loss": [2.1, 0.9, 1.2],
        "val_accuracy": [0.1, 0.7, 0.4],
        "learning_rate": [0.1, 0.05, 0.0],
    }
)
PROVENANCE = {"model_md5": "0123abcd", "saved_by_keras": "3.15.1", "precision": "float32", "versions": {"numpy": "2.4.6"}}
NETWORK = {"input_shape": [32, 48, 3], "depth": 50, "variant": "v1.5", "temperature": 0.6123}
REFUSED = {"refused": 0.0625, "refused_low": 0.03, "refused_high": 0.12}
DATA = {
    "files": {"accepted": 20, "rejected": 1, "duplicate": 2, "ignored": 0},
    "splits": {"training": 12, "validation": 4, "test": 4},
    "classes_in_all": 2,
    "warnings": [],
}


def calibration_table(confidence: Any, correct: Any) -> pd.DataFrame:
    found = reliability(confidence, correct)
    edges = np.arange(16) / 15
    columns = {"above": edges[:-1], "up_to": edges[1:], "images": found.images, "confidence": found.confidence}
    accuracy = found.hits / np.maximum(found.images, 1)
    return pd.DataFrame(columns).assign(accuracy=accuracy, accuracy_low=accuracy * 0.9, accuracy_high=accuracy * 0.9 + 0.1)


def results(classes: list[str], images: int, samples: int = 4, side: int = 32) -> Results:
    """Results of a network that is correct for two images in three; the first image is an error with high confidence."""
    generator = np.random.default_rng(0)
    labels = (np.arange(images) % len(classes)).astype(np.uint16)
    logits = generator.normal(size=(images, len(classes))).astype(np.float32)
    logits[np.arange(images), np.where(generator.random(images) < 2 / 3, labels, (labels + 1) % len(classes))] += 6
    logits[0] = 0
    logits[0, 1] = 3
    odds = np.exp(logits.astype(np.float64))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    found = answers(labels, logits)
    return Results(
        classes=classes,
        metrics=summarise(labels, answers(labels, logits))
        | {"calibration_error_before": 0.3217, "loss_before": 1.6543}
        | REFUSED,
        details=detail(labels, found) | {"network": NETWORK, "provenance": PROVENANCE},
        gate={"passed": True, "checks": []},
        history=HISTORY,
        per_class=pd.DataFrame(per_class(labels, predicted, classes)),
        calibration=calibration_table(probabilities.max(axis=1), predicted == labels),
        uncalibrated=calibration_table(probabilities.max(axis=1) ** 0.5, predicted == labels),
        predictions=pd.DataFrame(
            {
                "path": [f"p/{number}.png" for number in range(images)],
                "label": [classes[label] for label in labels],
                "predicted": [classes[guess] for guess in predicted],
                "probability": probabilities.max(axis=1),
                "label_probability": probabilities[np.arange(images), labels],
            }
        ),
        samples=Samples(
            np.arange(samples),
            generator.integers(0, 256, (samples, side, side, 3), dtype=np.uint8),
            generator.uniform(-1, 1, (samples, 8, 8)).astype(np.float32),
            np.full(samples, 0.0625),
        ),
        model_summary="Layer (type)",
        data=DATA,
        parameters={
            "": {"seed": 7},
            "ingest": {"source": "photos", "max_rejected": 1e-05},
            "build": {"blocks": None, "weights": "builtin/random"},
            "train": {"epochs": 3, "optimizer": "adam", "flip": True, "restarts": [1, 2]},
        },
        hashes={"raw/manifest.csv": "feed"},
    )


def test_the_head_says_that_mirror_images_were_tested_too(small: Results) -> None:
    plain = "testing mean logits of each image and its mirror image"
    assert plain not in words(render_report(small))
    assert plain in words(render_report(replace(small, metrics={**small.metrics, "mirror": True})))


@pytest.fixture(scope="module")
def small() -> Results:
    return results(["cat", "dog"], 40)


def words(page: str) -> str:
    """The text of a page."""
    text = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"</(t[dh]|dt)>", " ", text)
    return " ".join(re.sub(r"<[^>]+>", "", text).replace("&nbsp;", " ").replace("\u00a0", " ").split())


def with_temperature(results: Results, temperature: float) -> Results:
    """Results of a network with another temperature."""
    network = results.details["network"] | {"temperature": temperature}
    return replace(results, details={**results.details, "network": network})


def test_the_page_shows_all_of_it(small: Results) -> None:
    page = render_report(small)
    text = words(page)
    metrics = small.metrics
    assert f"{100 * metrics['accuracy']:.2f} % accuracy" in text
    assert f"{100 * metrics['accuracy_low']:.2f} % to {100 * metrics['accuracy_high']:.2f} %" in text
    assert f"macro F1 {metrics['macro_f1']:.4f}" in text
    assert f"calibration error {metrics['calibration_error']:.4f}" in text
    assert "all logits were divided by 0.612, the temperature" in text
    assert "6.2 % of these test images would be refused as none of the classes (95 % interval 3.0 % to 12.0 %)" in text
    assert "The threshold was set to refuse at most 5 % of new images like the validation images." in text
    assert "it raises the probabilities" in text
    assert "Before, the calibration error on these test images was 0.3217 and the loss 1.6543; now" in text
    assert "The weights of epoch 2 were kept." in text
    wrong = int((small.predictions["label"] != small.predictions["predicted"]).sum())
    assert f"{wrong} of 40 images were predicted as another class" in text
    row = small.predictions.iloc[0]
    assert (
        f"dog probability {row['probability']:.3f}with one place covered 0.062"
        f"label cat probability {row['label_probability']:.3f}p/0.png"
    ) in text
    assert row["probability"] + row["label_probability"] == pytest.approx(1)  # of two classes
    for word in (
        "0123abcd",
        "keras 3.15.1",
        "numpy 2.4.6",
        "float32",
        "feed",
        "optimizer adam",
        "max_rejected 1e-05",
        "blocks null",
        "flip true",
        "restarts [1, 2]",
        "seed 7",
        "Layer (type)",
    ):
        assert word in text
    for name in ("loss", "accuracy", "learning-rate", "confusion", "reliability"):
        assert page.count(f'class="{name}" role="img"') == 1


def test_shares_are_those_of_the_counts() -> None:
    history = HISTORY.assign(val_accuracy=[0.1, 0.98895, 0.4])  # 179 of 181 with six digits
    data = DATA | {"splits": {"training": 12, "validation": 181, "test": 181}}
    found = results(["cat", "dog"], 181)
    text = words(render_report(replace(found, history=history, data=data, metrics={**found.metrics, "accuracy": 0.98895})))
    assert "98.90 % accuracy" in text
    assert "a validation accuracy of 98.90 %." in text


@pytest.mark.parametrize(
    ("images", "error", "chance", "sentence"),
    [
        (53, 0.20, 0.22, "53 images are too few to tell whether the probabilities are wrong."),
        (53, 0.23, 0.22, "This network is overconfident."),
        (200, 0.05, 0.06, "So there is no sign that the probabilities are wrong."),
    ],
)
def test_few_images_tell_nothing_about_probabilities(images: int, error: float, chance: float, sentence: str) -> None:
    found = results(["cat", "dog"], images)
    metrics = {**found.metrics, "calibration_error": error, "calibration_error_by_chance": chance}
    text = words(render_report(replace(found, metrics=metrics)))
    last = f"it is below {chance:.4f} on 95 % of test sets like this one. "
    assert text[text.index(last) + len(last) :].startswith(sentence)


@pytest.mark.parametrize(
    ("error", "loss", "sentence"),
    [
        (0.1, 1.0, ""),
        (0.4, 1.0, "The temperature made the calibration error larger on these test images."),
        (0.1, 1.7, "The temperature made the loss larger on these test images."),
        (0.4, 1.7, "The temperature made the calibration error and the loss larger on these test images."),
    ],
)
def test_a_temperature_that_does_harm_is_named(small: Results, error: float, loss: float, sentence: str) -> None:
    text = words(render_report(replace(small, metrics={**small.metrics, "calibration_error": error, "loss": loss})))
    assert "the temperature that was fitted on 4 validation images" in text
    assert sentence in text
    assert ("The temperature made" in text) == bool(sentence)


@pytest.mark.parametrize(
    ("temperature", "words_of_it"),
    [(0.9, "it raises the probabilities"), (1.0, "it leaves the probabilities nearly as they are"), (1.1, "it lowers")],
)
def test_it_says_what_the_temperature_does(small: Results, temperature: float, words_of_it: str) -> None:
    assert words_of_it in words(render_report(with_temperature(small, temperature)))


def test_with_mirror_images_it_says_that_only_testing_has_them(small: Results) -> None:
    text = words(render_report(replace(small, metrics={**small.metrics, "mirror": True})))
    assert "testing mean logits of each image and its mirror image; predict and exports look at each image once" in text


def test_every_picture_says_what_it_shows(small: Results) -> None:
    page = render_report(small)
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == 2 * 4
    assert all(re.search(r' alt="[^"]+"', picture) for picture in pictures)
    assert 'alt="p/0.png: cat, predicted as dog"' in page
    assert all(re.search(r'aria-label="[^"]{20,}"', drawing) for drawing in re.findall(r"<svg [^>]*>", page))


def test_a_gate_that_failed_says_why(small: Results) -> None:
    check = {"name": "minimum_accuracy", "passed": False, "why": "accuracy 0.9000 is below 0.95."}
    page = render_report(replace(small, gate={"passed": False, "checks": [check]}))
    assert "Gate failed: accuracy 0.9000 is below 0.95." in words(page)
    assert "Gate" not in words(render_report(small))


def test_the_head_says_what_was_trained_on_what(small: Results) -> None:
    head = words(render_report(small)).partition("macro F1")[0]
    for fact in (
        "data photos, 20 images in 2 classes: 12 for training, 4 for validation, 4 for testing",
        "network ResNet-50 v1.5, 32 \u00d7 48 pixels, initial weights builtin/random",
        "training 3 epochs, weights of epoch 2",
        "gate none set",
        "run.json",
    ):
        assert fact in re.sub(" +", " ", head.replace("\u2002", " "))
    other = replace(small, parameters={"build": {"blocks": [1, 1]}})
    assert "network ResNet v1.5 with blocks [1, 1], 32 \u00d7 48 pixels" in words(render_report(other))


def test_leaks_are_beside_the_accuracy_and_other_warnings_with_the_data(small: Results) -> None:
    leak = DataWarning("leaks", "2 of 40 test images have a near-duplicate.", of_accuracy=True)
    data = DATA | {"warnings": [leak, DataWarning("rejected", "9 % of the files were rejected.", ["x"])]}
    text = words(render_report(replace(small, data=data)))
    assert text.index("not used in training") < text.index(leak.text) < text.index("macro F1")
    assert text.count(leak.text) == 1
    assert text.index("The data report") < text.index("9 % of the files were rejected. x")


def test_macro_f1_says_of_how_many_classes_it_is_the_mean(small: Results) -> None:
    assert "mean of 2 classes" in words(render_report(small))
    absent = small.per_class.assign(support=[40, 0], predicted=[39, 1], recall=[0.975, 0.0])
    text = words(render_report(replace(small, per_class=absent, details={**small.details, "classes": 3})))
    assert "mean of 2 of 3 classes" in text
    assert "have test images or were predicted: 2 of 3. The other has no F1." in text
    assert re.search("dog 0 [0-9.]+ \u2013 \u2013", text)  # a class without test images has a precision and no recall


@pytest.mark.parametrize(("side", "pixelated"), [(72, 8), (73, 0)])
def test_images_that_are_enlarged_at_least_twice_show_their_pixels(side: int, pixelated: int) -> None:
    page = render_report(results(["cat", "dog"], 40, side=side))
    assert page.count('<img class="pixelated"') == pixelated
    assert (f"as the network receives them, at {side} \u00d7 {side} pixels, enlarged" in words(page)) == bool(pixelated)


def test_the_same_results_make_the_same_bytes(small: Results) -> None:
    assert render_report(small) == render_report(results(["cat", "dog"], 40))


def test_a_network_without_errors_has_a_page(small: Results) -> None:
    labels = small.predictions["label"]
    page = render_report(
        replace(
            small,
            predictions=small.predictions.assign(predicted=labels),
            details={key: value for key, value in small.details.items() if not key.endswith(("_low", "_high"))},
        )
    )
    assert "None: every test image was predicted correctly." in words(page)
    assert "None: every prediction is correct." in words(page)


def test_the_weakest_of_many_classes_comes_first() -> None:
    page = render_report(results([f"class {number}" for number in range(30)], 600))
    table = page[page.index('id="classes"') : page.index('id="calibration"')]
    shown = [float(value) for value in re.findall(r"</i></span>([\d.]+)</td>", table)]
    assert len(shown) == 30
    assert shown == sorted(shown)
    assert "Classes that are confused with each other are next to each other." in words(page)


def test_names_stay_text() -> None:
    page = render_report(results(["<script>alert(1)</script>", "{{ 7 * 7 }} $x$"], 12))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }} $x$" in page


def test_the_page_needs_no_network(small: Results) -> None:
    page = render_report(small)
    assert "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="([^":#]*)', page)) == {"data", "", "data.html"}
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", page)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("make", [lambda: results(["<b>cat</b>", "dog"], 40), lambda: results([*map(str, range(300))], 900)])
def test_a_browser_opens_it_without_messages(make: Callable[[], Results], tmp_path: Path, tab: Tab) -> None:
    (tmp_path / "index.html").write_text(render_report(make()), encoding="utf-8")
    tab.open(tmp_path / "index.html")
    document = tab.document()
    assert document.count("<svg") == 5
    assert '<h2 id="provenance">' in document
    assert tab.messages == []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_request_would_not_go_unnoticed(small: Results, tmp_path: Path, tab: Tab) -> None:
    page = render_report(small).replace("</body>", '<img src="http://127.0.0.1:9/x.png" alt=""></body>')
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    tab.open(tmp_path / "index.html")
    assert any("Content Security Policy" in line for line in tab.messages)
