"""What the README of a published folder says of a network for several labels an image, where it differs from one label."""

THRESHOLDS = "thresholds.json"
CONTENTS = {
    THRESHOLDS: "the probability of each class from which on an image has it, in the order of `classes.json`",
    "index.html": "the report, for a browser: curves, classes, mistakes",
    "metrics.json": "mean average precision and accuracy with their 95 % intervals, F1, calibration error, loss",
}
MEANING = """\
An image may have any number of the classes, or none: it has those whose probability is at least their threshold. The thresholds
are in `thresholds.json`, and in each export beside the class names."""
_ENDING = """\
    names, thresholds = json.load(open("classes.json")), json.load(open("thresholds.json"))
    print({name: value for name, value, least in zip(names, PROBABILITIES.tolist(), thresholds) if value >= least})"""


def printing_labels(program: str, probabilities: str) -> str:
    """A program that prints the labels of an image and their probabilities.

    Args:
        program: its last line prints the most probable class.
        probabilities: the expression for the array of probabilities in it.
    """
    return f"{program.rpartition(chr(10))[0]}\n{_ENDING.replace('PROBABILITIES', probabilities)}"
