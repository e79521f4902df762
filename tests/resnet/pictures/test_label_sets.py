"""What the pages say about sets of labels, on a case that is counted by hand."""

import numpy as np

from resnet.pictures.data_labels import are_sets
from resnet.pictures.label_sets import count_pairs, difference, most_frequent_set

CLASSES = ["cat", "dog", "owl"]
LABELS = ["cat|dog", "cat|dog", "owl", "", "cat"]
PREDICTED = ["cat|dog", "cat|owl", "dog", "cat", ""]


def test_a_network_says_whether_its_labels_are_sets() -> None:
    assert are_sets({"multi_label": True})
    assert not are_sets({"depth": 50})


def test_pairs_of_classes_are_counted() -> None:
    counts, support = count_pairs(LABELS, PREDICTED, CLASSES)
    assert support.tolist() == [3, 2, 1]
    assert counts.tolist() == [[2, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_the_counts_are_those_of_products_of_tables() -> None:
    generator = np.random.default_rng(0)
    truth, found = generator.random((2, 500, 4)) < 0.4
    names = np.array(["a", "b", "c", "d"])
    labels, predicted = (["|".join(names[row]) for row in table] for table in (truth, found))
    counts, support = count_pairs(labels, predicted, names.tolist())
    instead = (truth & ~found).astype(int).T @ (found & ~truth).astype(int)
    assert counts.tolist() == (instead + np.diag((truth & found).sum(axis=0))).tolist()
    assert support.tolist() == truth.sum(axis=0).tolist()


def test_the_most_frequent_set_can_be_the_empty_one() -> None:
    assert most_frequent_set(LABELS) == {"label": "cat | dog", "share": 0.4}
    assert most_frequent_set(["", "", "dog"]) == {"label": "none of the classes", "share": 2 / 3}


def test_the_difference_of_two_sets() -> None:
    assert difference("cat|dog", "cat|owl") == {"missing": "dog", "wrong": "owl"}
    assert difference("", "cat|owl") == {"missing": "", "wrong": "cat | owl"}
    assert difference("cat", "cat") == {"missing": "", "wrong": ""}
