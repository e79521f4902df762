"""Labels of images with several of them, for pages: whether they are sets, their classes, and the sets in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnet.core.label_sets import SEPARATOR

if TYPE_CHECKING:
    import pandas as pd

NO_CLASS = "none of the classes"


def are_sets(network: Mapping[str, Any]) -> bool:
    """Whether the labels are sets, from the arguments of `ResNet`."""
    return "multi_label" in network


def each_class(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each image and each of its classes.

    Args:
        frame: a row for each image, with the texts of its set as `label`. Images of the empty set are in no row of the result.
    """
    rows = frame.assign(label=frame["label"].astype("str").str.split(SEPARATOR, regex=False)).explode("label")
    return rows[rows["label"] != ""].astype({"label": "str"})


def set_in_words(text: str) -> str:
    """A set for people, with room for a line break. The empty set is "" or, in tables of decisions, `|`."""
    return NO_CLASS if text in ("", SEPARATOR) else text.replace(SEPARATOR, f" {SEPARATOR} ")


def describe_sets(labels: "pd.Series[Any]") -> dict[str, Any]:
    """What the sets of images are like.

    Returns:
        different, the number of different sets; none, of images of the empty set; mean and most, of classes of an image;
        frequent, the most frequent set in words.
    """
    texts = labels.astype("str")
    sizes = texts.str.count(r"\|") + (texts != "")
    counts = texts.value_counts().rename_axis("text").reset_index(name="images")
    first = counts.sort_values(["images", "text"], ascending=[False, True])["text"].head(1).tolist()
    return {
        "different": int(texts.nunique()),
        "none": int((texts == "").sum()),
        "mean": float(sizes.mean()) if len(sizes) else 0.0,
        "most": int(sizes.max()) if len(sizes) else 0,
        "frequent": first[0] if first else "",
    }
