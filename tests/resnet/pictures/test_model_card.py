"""The model card: its content, and the escaping of names."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from resnet.pictures.model_card import DataFacts, escape, render_model_card

HISTORY = pd.DataFrame({"epoch": [1.0, 2.0, 3.0], "val_loss": [0.9, 0.4, 0.6], "val_accuracy": [0.5, 0.875, 0.9]})


def card(names: list[str], warnings: Sequence[str] = (), equal: int = 0, **options: Any) -> str:
    labels = [names[0]] * 4 + [names[1]] * 5
    return render_model_card(
        network={"input_shape": [32, 32, 3], "variant": "v1.5", "blocks": [3, 4, 6, 3]} | options.pop("network", {}),
        classes=names,
        sha256="0" * 64,
        metrics=options.pop("more", {})
        | {
            "accuracy": 0.777778,
            "accuracy_low": 0.45,
            "accuracy_high": 0.94,
            "macro_f1": 0.76,
            "loss": 0.5,
            "images": options.pop("images", 9),
            "macro_f1_classes": 2,
        },
        history=options.pop("history", HISTORY),
        predictions=pd.DataFrame({"label": labels, "predicted": [names[0]] * 6 + [names[1]] * 3}),
        data=DataFacts(
            {"training": 1200, "validation": options.pop("validated", 30), "test": 9},
            {"PNG": 2, "JPEG": 1237},
            {"": 1238, "oriented": 1},
            equal,
            **{name.removeprefix("data_"): options.pop(name) for name in [*options] if name.startswith("data_")},
        ),
        warnings=warnings,
        **options,
    )


def test_shares_are_those_of_the_counts() -> None:
    history = pd.DataFrame({"epoch": [1.0], "val_loss": [0.9], "val_accuracy": [0.98895]})  # 179 of 181 with six digits
    assert "(0.9000, accuracy 98.90 %)." in card(["cat", "dog"], history=history, validated=181)


def test_it_has_the_facts_of_the_run() -> None:
    lines = card(["cat", "dog"]).splitlines()
    for line in (
        "# Model card: a ResNet for 2 classes",
        "| variant | v1.5 |",
        "In the order of the network's outputs: cat, dog.",
        "| training | 1,200 |",
        "| accuracy | 77.78 %, 95 % interval 45.00 to 94.00 % |",
        "weights are those of epoch 2, which has the lowest loss on the validation split",
    ):
        assert line in lines
    # Three of five dogs, all of four cats.
    assert lines[lines.index("| class | recall | test images |") + 2 :][:2] == [
        "| dog | 60.0 % | 5 |",
        "| cat | 100.0 % | 4 |",
    ]
    assert "File formats: 1,237 JPEG, 2 PNG." in card(["cat", "dog"])
    assert "Decoding changed some images of the data: 1 oriented." in card(["cat", "dog"])


def test_a_warning_follows_the_figures_it_concerns() -> None:
    text = card(["cat", "dog"], warnings=["2 of 9 test images (22.2 %) have a near-duplicate."], equal=3)
    assert (
        text.index("| accuracy |") < text.index("**Warning:** 2 of 9 test images") < text.index("The classes with the lowest")
    )
    assert "Pairs of images with equal pixels in two splits: 3." in text
    assert "No image is in two splits" not in text
    assert "Warning" not in card(["cat", "dog"])


def test_macro_f1_says_of_how_many_classes_it_is_the_mean() -> None:
    expected = "| macro\\_f1 | 0.7600, mean of 2 of 3 classes: those with test images or predictions |"
    assert expected in card(["cat", "dog", "owl"]).splitlines()


def test_one_image_and_one_epoch_are_in_the_singular() -> None:
    errors = {"calibration_error": 0.2, "calibration_error_by_chance": 0.22}
    text = card(["cat", "dog"], images=1, history=HISTORY[:1], validated=1, network={"temperature": 0.61}, more=errors)
    assert "On 1 test image, which was used for nothing else:" in text
    assert "\n1 epoch. All settings" in text
    assert "fitted on 1 validation image.\n" in text


def test_it_says_that_mirror_images_were_tested_too() -> None:
    lines = card(["cat", "dog"], more={"mirror": True}).splitlines()
    line = "On 9 test images, which were used for nothing else, by the mean logits of each image and its mirror image"
    assert f"{line} (`predict` and exports look at each image once):" in lines
    assert not [line for line in lines if line.startswith("| mirror")]
    assert "mirror" not in card(["cat", "dog"])


def test_probabilities_are_as_good_as_measured_and_no_figure_is_unexplained() -> None:
    errors = {"calibration_error": 0.2, "calibration_error_by_chance": 0.22, "calibration_error_before": 0.12}
    others = {"loss_before": 0.4, "refused": 0.06, "refused_low": 0.03, "refused_high": 0.12}
    text = card(["cat", "dog"], network={"temperature": 0.61}, more=errors | others)
    assert (
        "- The logits were divided by a temperature of 0.61, fitted on 30 validation images. On the test images, probabilities "
        "and the rate of correct predictions differ by 0.2000 on average; if they agreed, chance alone would give up to 0.2200."
    ) in " ".join(text.split())
    for name, words in (
        ("calibration\\_error", "gap between probability and rate of correct predictions"),
        ("calibration\\_error\\_by\\_chance", "perfectly calibrated"),
        ("calibration\\_error\\_before", "without the temperature"),
        ("loss\\_before", "without the temperature"),
        ("refused", "`predict --unknown`"),
        ("refused\\_low", "lower end of its 95 % interval"),
        ("refused\\_high", "upper end of its 95 % interval"),
    ):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert words in line


def test_it_promises_a_largest_share_of_refused_images() -> None:
    text = " ".join(card(["cat", "dog"], network={"refuses": 0.05}).split())
    assert "at most 5 % of new images like the validation images are refused as none of the classes." in text
    assert "refused as none" not in card(["cat", "dog"])


def test_names_of_classes_are_text() -> None:
    text = card(["<b>|x", "a\n# b_*"])
    assert "\\<b\\>\\|x" in text
    assert "<b>" not in text
    assert not [line for line in text.splitlines() if line.startswith("# b")]
    assert escape("plain name, ü") == "plain name, ü"


def test_a_thousand_classes_are_not_all_listed() -> None:
    assert ", class 99, and 900 more, which are in the file." in card([f"class {n}" for n in range(1000)])


def test_it_names_what_is_missing_and_nothing_else() -> None:
    missing = "- A run does not know the intended use of the network, the origin of the data"
    text = card(["cat", "dog"])
    expected = ", the licence of the model (`render.license`) and the licence of the data (`render.data_license`)."
    assert f"{missing}{expected}" in text.splitlines()
    assert "Licence of the" not in text
    stated = card(["cat", "dog"], license="apache-2.0", data_license="CC0", data_name="cats *and* dogs", data_citation="Me")
    lines = stated.splitlines()
    assert "- A run does not know the intended use of the network and the origin of the data." in lines
    for line in ("- Licence of the model: apache-2.0.", "Licence of the data: CC0", "To cite the data: Me"):
        assert line in lines
    assert "Data set: cats \\*and\\* dogs" in lines


def test_it_names_the_initial_weights() -> None:
    sentence = "Training started from the weights that Keras publishes for ImageNet (`keras.applications`)."
    assert sentence in card(["cat", "dog"], imagenet=True).splitlines()
    assert sentence not in card(["cat", "dog"])


OF_SETS = pd.DataFrame(
    {
        "label": ["cat", "<dog>", "owl"],
        "support": [4, 5, 0],
        "f1": [0.8, 0.5, 0.0],
        "threshold": [0.25, 0.5, 0.4],
        "average_precision": [0.875, 0.75, float("nan")],
    }
)


def card_of_sets(**more: float) -> str:
    precision = {"mean_average_precision": 0.8125, "micro_f1": 0.7, "average_precision_classes": 2}
    network = {"multi_label": True, "temperature": 0.61, "offset": -0.25, "thresholds": [0.25, 0.5, 0.4]}
    errors = {"calibration_error": 0.2, "calibration_error_by_chance": 0.22}
    return card(["cat", "<dog>", "owl"], network=network, more=precision | errors | more, per_class=OF_SETS)


def test_with_several_labels_the_mean_average_precision_comes_first() -> None:
    lines = card_of_sets(mean_average_precision_low=0.7, mean_average_precision_high=0.9).splitlines()
    place = lines.index("| figure | value |")
    expected = "0.8125, 95 % interval 0.7000 to 0.9000; mean of the classes that have test images: 2 |"
    assert lines[place + 2] == f"| mean average precision | {expected}"
    assert lines[place + 3].startswith("| exact-match accuracy | 77.78 %, 95 % interval 45.00 to 94.00 %; ")
    assert "| micro\\_f1 | 0.7000, over all pairs of image and class |" in lines
    assert not [line for line in lines if "_low" in line or "_classes" in line]
    assert "95 % interval" not in next(line for line in card_of_sets().splitlines() if line.startswith("| mean average"))


def test_with_several_labels_the_classes_with_the_lowest_average_precision_are_listed() -> None:
    lines = card_of_sets().splitlines()
    place = lines.index("| class | average precision | F1 | threshold | test images |")
    assert lines[place + 2 : place + 5] == [
        "| \\<dog\\> | 0.750 | 0.500 | 0.500 | 5 |",
        "| cat | 0.875 | 0.800 | 0.250 | 4 |",
        "",
    ]
    assert "lowest recall" not in card_of_sets()


def test_with_several_labels_the_card_says_how_to_read_the_outputs() -> None:
    text = " ".join(card_of_sets().split())
    assert "The logits were divided by a temperature of 0.61, and 0.25 was subtracted from them, fitted on" in text
    assert "A multi-label image classifier (He et al., 2015)" in text
    assert "The logistic function converts each of them to the probability that the image has this class" in text
    assert "| thresholds | one for each class, from 0.25 to 0.5 |" in text
    assert "An image can get any number of the classes, and none." in text
    assert "(0.4000, exact-match accuracy 87.50 % with all thresholds at 0.5)" in text
    assert "the probability of a class and the share of images that have it differ by 0.2000 on average" in text
    more = {"calibration_error": 0.2, "calibration_error_by_chance": 0.22}
    for words in ("softmax", "assigned to one of the classes", "rate of correct predictions"):
        assert words not in text
        assert words in " ".join(card(["cat", "dog"], network={"temperature": 0.6}, more=more).split())
