"""The parts of the page of results that are different if images have several labels each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnet.pictures.confusion import draw_confusion, most_confused
from resnet.pictures.data_labels import set_in_words
from resnet.pictures.label_sets import Pairs, count_pairs, difference, most_frequent_set
from resnet.pictures.pages import percent, plain
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.svg import inline_svg, text_of_pages

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.figure import Figure

    from resnet.pictures.report import Results

_ONE_SIDED = 0.75  # of the calibration error
_TITLE = "Diagonal: class found; beside it: a wrong class\nin place of the missing one (test images)"


def context_of_sets(results: "Results", most: int) -> dict[str, Any]:
    """What the template `report_of_sets.html` needs besides that of one label an image.

    Args:
        results: of the run.
        most: how many pairs of a missing class and a wrong one are listed.
    """
    labels, predicted = _texts(results)
    support, images = results.per_class["support"].to_numpy(), max(len(labels), 1)
    pairs = count_pairs(labels, predicted, results.classes)
    return {
        "guess": most_frequent_set(labels),
        "pairs": most_confused(pairs.counts, results.classes, most, pairs.support),
        **_kind_of_error(results.calibration),
        "offset": results.details["network"].get("offset", 0.0),
        "at_random": float(support[support > 0].mean() / images) if support.any() else 0.0,
        "labels_per_image": (float(support.sum() / images), float(results.per_class["predicted"].sum() / images)),
    }


@text_of_pages()
def draw_pairs(results: "Results") -> dict[str, "Markup"]:
    """The confusion matrix and the reliability diagram of pairs of an image and a class."""
    pairs = count_pairs(*_texts(results), results.classes)
    recall = float(pairs.counts.trace() / max(int(pairs.support.sum()), 1))
    metrics = results.metrics
    return {
        "confusion": inline_svg(
            draw_matrix(pairs, results.classes, title=""),
            "confusion",
            f"Matrix of {len(results.classes)} classes: {percent(recall)} of the labels are found, on its diagonal; beside it "
            "are images with a wrong class in place of one that they have.",
        ),
        "reliability": inline_svg(
            draw_reliability(results.calibration, before=results.uncalibrated, of_pairs=True),
            "reliability",
            f"Share of images that have a class against its probability; expected calibration error "
            f"{metrics['calibration_error']:.4f}, before calibration {metrics['calibration_error_before']:.4f}.",
        ),
    }


def draw_matrix(pairs: Pairs, classes: list[str], title: str = _TITLE) -> "Figure":
    """Draws the confusion matrix, with the images of a missing class and a wrong one beside its diagonal."""
    return draw_confusion(pairs.counts, classes, title, support=pairs.support)


def card_of_set(card: Mapping[str, Any], observed: str, probability: float) -> dict[str, Any]:
    """A sample with what its set lacks or has wrongly, and with the class of its map.

    Args:
        card: path, label, predicted and pictures of the sample.
        observed: the name of the class whose probability the occlusion map observes.
        probability: of this class.
    """
    label, guess = str(card["label"]), str(card["predicted"])
    return {
        **card,
        **difference(label, guess),
        "observed": observed,
        "of_observed": probability,
        "alt": f"{plain(card['path'])}: {plain(set_in_words(label))}, predicted as {plain(set_in_words(guess))}",
    }


def _texts(results: "Results") -> tuple[list[str], list[str]]:
    labels, predicted = (results.predictions[name].tolist() for name in ("label", "predicted"))
    return labels, predicted


def _kind_of_error(bins: "pd.DataFrame") -> dict[str, Any]:
    """How the probabilities of pairs are wrong, and by what that shows, in words.

    If nearly all are wrong in one direction, their mean is wrong by nearly as much as the calibration error.
    """
    weight = bins["images"] / max(int(bins["images"].sum()), 1)
    mean, share = float((weight * bins["confidence"]).sum()), float((weight * bins["accuracy"]).sum())
    error = float((weight * (bins["accuracy"] - bins["confidence"]).abs()).sum())
    if abs(mean - share) >= _ONE_SIDED * error:
        kind = "too low" if mean < share else "too high"
        grounds = f": their mean is {mean:.4f}, and {share:.4f} of the pairs are of images that have the class"
    else:
        beyond = (bins["accuracy"] - bins["confidence"]).where(bins["confidence"] > 0.5, bins["confidence"] - bins["accuracy"])
        near = float((weight * beyond).sum()) > 0
        kind = "too near to 0.5" if near else "too far from 0.5"
        grounds = (
            f": most of those above it are too {'low' if near else 'high'}, of those below it too {'high' if near else 'low'}"
        )
    return {"kind_of_error": kind, "grounds_of_error": grounds}
