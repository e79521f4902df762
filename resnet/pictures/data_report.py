"""The HTML report of the data: counts of files, classes, splits, sizes, samples, rejected files, duplicates and leaks.

The page depends only on the data, so the same data give the same bytes. It is a single file: images are embedded, there are no
scripts, and nothing is loaded from the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet.core.tables import SET_ASIDE, SPLITS
from resnet.pictures.data_labels import describe_sets, each_class, set_in_words
from resnet.pictures.data_warnings import data_warnings
from resnet.pictures.pages import environment, places_by

if TYPE_CHECKING:
    import pandas as pd

_MAX_CLASSES = 3000  # a row of the table is 0.4 kB
_MAX_NAMES = 8  # in a warning
_MAX_ROWS = 50  # of duplicates, of leaks and of other pairs
_MAX_ROWS_OF_A_REASON = 20
_MAX_SAMPLES = 240  # thumbnails of 3 kB: about 1 MB
_MANY_CLASSES = 500  # with more, each shows one
_MAX_SAMPLES_OF_A_CLASS = 60


@dataclass(frozen=True)
class DataSet:
    """The tables that `ingest` and `preprocess` write.

    Frames may be empty, but have all columns. Sizes and distances are integers, everything else is text.

    Attributes:
        classes: the class names in the order of the labels, including classes without images.
        manifest: one row for each image: path, label, split (of the source, or empty), group, width, height (pixels), format,
            flags (joined with ";").
        rejected: one row for each rejected file: path, reason, detail.
        duplicates: one row for each duplicate that was left out: path, duplicate_of.
        ignored: one row for each file that is not meant to be an image: path.
        index: one row for each image: path, label, split, row.
        near_duplicates: one row for each pair: path, split, other, other_split, distance; distance 0 means equal pixels.
        thumbnails: JPEG files of some images by path, at most 96 pixels on the long side.
        decided: one row for each image with a decision about its label: path, given (its label in the source), decision
            (relabel, leave out or keep), label (its label now, or empty). Decisions about no image follow, with no `given`.
            None if there are no decisions.
        multi_label: whether images have several labels each; a label is then the text of a set, such as `cat|dog`.
    """

    classes: list[str]
    manifest: "pd.DataFrame"
    rejected: "pd.DataFrame"
    duplicates: "pd.DataFrame"
    ignored: "pd.DataFrame"
    index: "pd.DataFrame"
    near_duplicates: "pd.DataFrame"
    thumbnails: Mapping[str, bytes]
    decided: "pd.DataFrame | None" = None
    multi_label: bool = False

    def by_class(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """A row for each image and each of its classes."""
        return each_class(frame) if self.multi_label else frame

    def in_words(self, label: str) -> str:
        """A label for people."""
        return set_in_words(label) if self.multi_label else label


def samples_per_class(classes: int) -> int:
    """The number of thumbnails for each class: 60 with two classes, 24 with ten, 1 with a thousand."""
    least = 1 if classes > _MANY_CLASSES else 2
    return min(max(_MAX_SAMPLES // max(classes, 1), least), _MAX_SAMPLES_OF_A_CLASS)


def render_data_report(data: DataSet) -> str:
    """The page as HTML, with embedded images. For 60,000 images in 1,000 classes it takes about a second."""
    table = _count_classes(data)
    return (
        environment()
        .get_template("data_report.html")
        .render(
            **summarise_data(data),
            reasons=_tally(data.rejected["reason"]),
            ignored_names=_tally(data.ignored["path"].astype("str").str.rsplit("/", n=1).str[-1]),
            classes=_with_places(table.head(_MAX_CLASSES).reset_index(names="name")),
            orders_of_classes=["most images", "fewest test images", "fewest training images", "name"],
            profile=_profile(table),
            balance=_balance(table, data),
            sets=describe_sets(data.manifest["label"]) if data.multi_label else None,
            given=_given_splits(data),
            groups=_groups(data),
            sizes=_sizes(data.manifest),
            formats=_tally(data.manifest["format"]),
            flags=_flags(data.manifest["flags"]),
            samples=_samples(data),
            relabelled=_relabelled(data),
            rejects=_rejects(data.rejected),
            duplicates=data.duplicates.head(_MAX_ROWS).to_dict("records"),
            pairs=_pairs(data),
            thumbnails=data.thumbnails,
            max_names=_MAX_NAMES,
        )
    )


def summarise_data(data: DataSet) -> dict[str, Any]:
    """A summary of the data.

    Returns:
        files, the number of accepted, rejected, duplicate and ignored files; splits, the number of images in each;
        classes_in_all, the number of classes; decisions, see `_decisions`; and warnings.
    """
    table = _count_classes(data)
    files = {
        "accepted": len(data.manifest),
        "rejected": len(data.rejected),
        "duplicate": len(data.duplicates),
        "ignored": len(data.ignored),
    }
    faults = files | {"rejected": int((~data.rejected["reason"].isin(SET_ASIDE)).sum())}
    return {
        "files": files,
        "splits": (splits := {split: int((data.index["split"] == split).sum()) for split in SPLITS}),
        "classes_in_all": len(table),
        "decisions": _decisions(data.decided),
        "warnings": data_warnings(
            faults,
            table,
            _balance(table, data),
            _groups(data),
            _pairs(data),
            unmatched=_decisions(data.decided)["unmatched"],
            splits=splits,
        ),
    }


def _decisions(decided: "pd.DataFrame | None") -> dict[str, int]:
    """The numbers of labels that decisions changed, of images that they left out or confirmed, and of those about no image."""
    if decided is None:
        return dict.fromkeys(("changed", "left_out", "kept", "unmatched"), 0)
    there = decided["given"] != ""
    kind = decided["decision"]
    return {
        "changed": int((there & (kind == "relabel") & (decided["given"] != decided["label"])).sum()),
        "left_out": int((there & (kind == "leave out")).sum()),
        "kept": int((there & (kind == "keep")).sum()),
        "unmatched": int((~there).sum()),
    }


def _tally(values: "pd.Series[Any]") -> dict[str, int]:
    """The number of occurrences of each value, the most frequent first, then by name."""
    counts = values.value_counts().rename_axis("value").reset_index(name="count")
    counts = counts.sort_values(["count", "value"], ascending=[False, True])
    return dict(zip(counts["value"].tolist(), counts["count"].tolist(), strict=True))


def _flags(flags: "pd.Series[Any]") -> dict[str, int]:
    each = flags.astype("str").str.split(";").explode()
    return _tally(each[each != ""])


def _count_classes(data: DataSet) -> "pd.DataFrame":
    """One row for each class: its number of images in each split and in total, the largest class first."""
    import pandas as pd

    index = data.by_class(data.index)
    splits = pd.crosstab(index["label"], index["split"]).reindex(index=data.classes, columns=SPLITS, fill_value=0)
    images = data.by_class(data.manifest)["label"].value_counts().reindex(data.classes, fill_value=0)
    return splits.assign(images=images).sort_values("images", ascending=False, kind="stable")


def _with_places(classes: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows of the table of classes, with their places in its other orders."""
    places = zip(*(places_by(classes, [*first, "name"]) for first in (["test"], ["training"], [])), strict=True)
    records: list[Any] = classes.to_dict("records")
    return [{**row, "places": place} for row, place in zip(records, places, strict=True)]


def _balance(table: "pd.DataFrame", data: DataSet) -> dict[str, Any] | None:
    """The largest and the smallest class with images, and the accuracy of always predicting one class, or set.

    That is the most frequent one of the test split, as in the report of the results.
    """
    table = table[table["images"] > 0]
    if table.empty:
        return None
    measured = "test" if table["test"].sum() else "images"
    largest, smallest = table.iloc[0], table.iloc[-1]
    answer, guess = table[measured].idxmax(), float(table[measured].max() / table[measured].sum())
    if data.multi_label:
        tested = data.index[data.index["split"] == "test"] if measured == "test" else data.index
        frequent = tested["label"].mode()[0]
        answer, guess = data.in_words(frequent), float((tested["label"] == frequent).mean())
    return {
        "largest": largest.name,
        "most": int(largest["images"]),
        "smallest": smallest.name,
        "least": int(smallest["images"]),
        "median": float(table["images"].median()),
        "ratio": float(largest["images"] / smallest["images"]),
        "answer": answer,
        "guess": guess,
        "guessed": "test images" if measured == "test" else "images",
    }


def _profile(table: "pd.DataFrame") -> dict[str, Any] | None:
    """The sizes of many classes as a stacked chart: one closed SVG path for each split, in a box of 1,000 by 100."""
    import numpy as np

    most = int(table["images"].max()) if len(table) else 0
    if not most:
        return None
    rows = np.unique(np.linspace(0, len(table) - 1, 500).astype(int))
    edges = np.append(rows, len(table)) * 1000 / len(table)
    below = np.zeros(len(rows))
    paths = {}
    for split in SPLITS:
        above = below + table[split].to_numpy()[rows] * 100 / most
        there = " ".join(
            f"H{left:.1f}V{100 - y:.1f}H{right:.1f}" for left, right, y in zip(edges[:-1], edges[1:], above, strict=True)
        )
        back = " ".join(
            f"V{100 - y:.1f}H{left:.1f}"
            for left, y in zip(reversed(edges[:-1].tolist()), reversed(below.tolist()), strict=True)
        )
        paths[split] = f"M0 {100 - below[0]:.1f} {there} {back}Z"
        below = above
    return {"paths": paths, "most": most}


def _given_splits(data: DataSet) -> list[dict[str, Any]]:
    """For each split of the source, the number of its images in each split of the prepared data."""
    import pandas as pd

    given = data.manifest["split"].astype("str")
    if not (given != "").any():
        return []
    now = data.manifest["path"].map(dict(zip(data.index["path"], data.index["split"], strict=True)))
    table = pd.crosstab(given, now).reindex(index=[*SPLITS, ""], columns=SPLITS, fill_value=0)
    return [{"given": split, "now": row.to_dict()} for split, row in table.iterrows() if row.any()]


def _groups(data: DataSet) -> dict[str, Any]:
    """The number of groups, and the names of groups in more than one split."""
    grouped = data.manifest.loc[data.manifest["group"].astype("str") != "", ["path", "group"]]
    split = grouped["path"].map(dict(zip(data.index["path"], data.index["split"], strict=True)))
    splits = split.groupby(grouped["group"].astype("str")).nunique()
    return {"images": len(grouped), "groups": len(splits), "astride": splits[splits > 1].index.tolist()}


def _sizes(manifest: "pd.DataFrame") -> dict[str, Any] | None:
    """Widths and heights in numbers and as a two-dimensional histogram: a square of side 300 with logarithmic axes."""
    import numpy as np

    if manifest.empty:
        return None
    width, height = (manifest[side].astype("int64").to_numpy() for side in ("width", "height"))
    pairs = (manifest["width"].astype("str") + " \u00d7 " + manifest["height"].astype("str")).rename("size")
    low, high = int(min(width.min(), height.min())), int(max(width.max(), height.max()))
    bins = min(24, high - low + 1)
    edges = np.geomspace(low, high + 1, bins + 1)
    edges[0], edges[-1] = low, high + 1  # geomspace has rounding errors at the ends
    counts = np.histogram2d(width, height, [edges, edges])[0].astype(int)
    ticks = np.unique(np.geomspace(low, high, 4).round().astype(int))
    first, last = np.ceil(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) - 1
    spans = [f"{a:,}" if a >= b else f"{a:,} to {b:,}" for a, b in zip(first, last, strict=True)]
    return {
        "common": _tally(pairs),
        "width": _spread(width),
        "height": _spread(height),
        "cell": 300 / bins,
        "cells": [
            {"x": x, "y": bins - 1 - y, "count": counts[x, y], "width": spans[x], "height": spans[y]}
            for x, y in np.argwhere(counts).tolist()
        ],
        "most": counts.max(),
        "widths": _bars(counts.sum(axis=1)),
        "heights": _bars(counts.sum(axis=0)[::-1]),
        "ticks": [(tick, 300 * float(np.log(tick / low) / np.log((high + 1) / low))) for tick in ticks.tolist()],
    }


def _bars(counts: Any) -> list[tuple[int, float]]:
    """The place of each bin with images, and its count relative to the largest."""
    return [(place, count / max(counts)) for place, count in enumerate(counts.tolist()) if count]


def _spread(values: Any) -> dict[str, Any]:
    import numpy as np

    return {"least": int(values.min()), "median": float(np.median(values)), "most": int(values.max())}


def _samples(data: DataSet) -> list[dict[str, Any]]:
    """Thumbnails by class, in the order of the classes. Those of near-duplicates come last."""
    shown = data.manifest.loc[data.manifest["path"].isin(list(data.thumbnails)), ["path", "label"]]
    paired = shown["path"].isin(data.near_duplicates["path"]) | shown["path"].isin(data.near_duplicates["other"])
    shown = shown.assign(paired=paired).sort_values("paired", kind="stable")
    each = data.by_class(shown)
    chosen = each.groupby("label", sort=False).head(samples_per_class(len(data.classes)))
    paths = chosen.groupby("label")["path"].agg(list).to_dict()
    images = data.by_class(data.manifest)["label"].value_counts().to_dict()
    rows = [{"name": name, "images": images[name], "paths": paths[name]} for name in data.classes if name in paths]
    return [*rows[:_MAX_CLASSES], *(_samples_of_none(data, shown) if data.multi_label else [])]


def _samples_of_none(data: DataSet, shown: "pd.DataFrame") -> list[dict[str, Any]]:
    """Thumbnails of images that have none of the classes."""
    paths = shown.loc[shown["label"] == "", "path"].head(samples_per_class(len(data.classes))).tolist()
    images = int((data.manifest["label"] == "").sum())
    return [{"name": data.in_words(""), "images": images, "paths": paths}] if paths else []


def _relabelled(data: DataSet) -> list[dict[str, Any]]:
    """The images whose labels were changed, and the number of them, by their labels before and now, the most frequent first."""
    decided = data.decided
    if decided is None:
        return []
    rows = decided[(decided["given"] != "") & (decided["decision"] == "relabel") & (decided["given"] != decided["label"])]
    counts = rows.groupby(["given", "label"]).size().reset_index(name="images")
    records: list[Any] = counts.sort_values(["images", "given", "label"], ascending=[False, True, True]).to_dict("records")
    return [row | {key: data.in_words(row[key]) for key in ("given", "label")} for row in records]


def _rejects(rejected: "pd.DataFrame") -> list[dict[str, Any]]:
    """By reason, the most frequent first: the number of rejected files, and the first of them."""
    first = rejected.groupby("reason", sort=False).head(_MAX_ROWS_OF_A_REASON)
    return [
        {"reason": reason, "files": files, "rows": first[first["reason"] == reason].to_dict("records")}
        for reason, files in _tally(rejected["reason"]).items()
    ]


def _pairs(data: DataSet) -> dict[str, Any]:
    """Pairs of near-duplicates, by rising distance: those across splits, which are leaks, and those within a split."""
    label = data.manifest.set_index("path")["label"]
    pairs = data.near_duplicates.sort_values(["distance", "path", "other"])
    pairs = pairs.assign(
        label=label.reindex(pairs["path"], fill_value="").to_numpy(),
        other_label=label.reindex(pairs["other"], fill_value="").to_numpy(),
    )
    other_labels = int((pairs["label"] != pairs["other_label"]).sum())
    if data.multi_label:
        pairs = pairs.assign(**{column: pairs[column].map(data.in_words) for column in ("label", "other_label")})
    across = pairs["split"] != pairs["other_split"]
    leaks, within = pairs[across], pairs[~across]
    tested = [leaks.loc[leaks["split"] == "test", "path"], leaks.loc[leaks["other_split"] == "test", "other"]]
    return {
        "leaks": len(leaks),
        "within": len(within),
        "first_leaks": leaks.head(_MAX_ROWS).to_dict("records"),
        "first_within": within.head(_MAX_ROWS).to_dict("records"),
        "between": _between(leaks),
        "leaked_test_images": len(set().union(*tested)),
        "other_labels": other_labels,
    }


def _between(leaks: "pd.DataFrame") -> list[dict[str, Any]]:
    """For each two splits, the number of pairs between them with equal pixels, and of near-duplicates."""
    rows = []
    for place, one in enumerate(SPLITS):
        for other in SPLITS[place + 1 :]:
            there = (leaks["split"] == one) & (leaks["other_split"] == other)
            back = (leaks["split"] == other) & (leaks["other_split"] == one)
            distance = leaks.loc[there | back, "distance"]
            rows.append({"splits": (one, other), "same": int((distance == 0).sum()), "near": int((distance != 0).sum())})
    return rows
