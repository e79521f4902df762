"""The data report: its counts and samples, and the escaping of names."""

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from resnet.pictures.data_report import DataSet, render_data_report, samples_per_class
from tests.pictures import picture

COLUMNS = {
    "manifest": [
        "path",
        "label",
        "split",
        "group",
        "width",
        "height",
        "format",
        "sha256",
        "pixel_hash",
        "fingerprint",
        "flags",
    ],
    "rejected": ["path", "reason", "detail"],
    "duplicates": ["path", "duplicate_of"],
    "ignored": ["path"],
    "index": ["path", "label", "split", "row"],
    "near_duplicates": ["path", "split", "other", "other_split", "distance"],
}
VOID = {"meta", "img", "br", "input"}


class _Page(HTMLParser):
    """The page as a browser parses it. Asserts that elements are closed in order.

    Attributes:
        text: the text of each section by the id of its heading; "top" is the part above the first heading.
        rows: the rows of the tables of each section, as lists of cells.
        tags: the elements with their attributes.
        names: the texts of `bdi` elements.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = {"top": ""}
        self.rows: dict[str, list[list[str]]] = {"top": []}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.names: list[str] = []
        self._section = "top"
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text[self._section] += " "
        if tag not in VOID:
            self._open.append(tag)
        if tag == "h2":
            self._section = dict(attrs)["id"] or ""
            self.text[self._section], self.rows[self._section] = "", []
        if tag == "tr":
            self.rows[self._section].append([])
        if tag in {"td", "th"}:
            self.rows[self._section][-1].append("")
        if tag == "bdi":
            self.names.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text[self._section] += data
        if "td" in self._open or "th" in self._open:
            self.rows[self._section][-1][-1] += data
        if "bdi" in self._open:
            self.names[-1] += data

    def section(self, name: str) -> str:
        return " ".join(self.text[name].split())

    def table(self, section: str) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.rows[section]]

    def pictures(self) -> list[tuple[str | None, str | None]]:
        return [(attrs["alt"], attrs["src"]) for tag, attrs in self.tags if tag == "img"]


def image(path: str, **columns: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS["manifest"], ""), "path": path, "label": path.split("/", maxsplit=1)[0]} | {
        "width": 32,
        "height": 32,
        "format": "PNG",
        **columns,
    }


def data_set(images: list[tuple[dict[str, Any], str]], classes: list[str] | None = None, **frames: Any) -> DataSet:
    """A data set of images with their splits; the other frames are given as lists of rows."""
    index = [(entry["path"], entry["label"], split, row) for row, (entry, split) in enumerate(images)]
    rows = {"manifest": [entry for entry, _ in images], "index": index, **frames}
    tables: dict[str, Any] = {name: pd.DataFrame(rows.get(name, []), columns=columns) for name, columns in COLUMNS.items()}
    return DataSet(
        classes=classes or sorted({entry["label"] for entry, _ in images}),
        thumbnails=frames.pop("thumbnails", {}),
        **tables,
    )


def many(label: str, training: int, validation: int, test: int, **columns: Any) -> list[tuple[dict[str, Any], str]]:
    splits = ["training"] * training + ["validation"] * validation + ["test"] * test
    return [(image(f"{label}/{number}.png", **columns), split) for number, split in enumerate(splits)]


def page(data: DataSet) -> _Page:
    return _Page(render_data_report(data))


def pets(**frames: Any) -> DataSet:
    """Seven cats, three dogs, and no hamster."""
    return data_set([*many("dog", 1, 1, 1), *many("cat", 4, 1, 2)], ["cat", "dog", "hamster"], **frames)


PICTURES = {"cat/0.png": b"cat 0", "cat/5.png": b"cat 5", "dog/1.png": b"dog 1"}
FRAMES: dict[str, Any] = {
    "rejected": [
        ("cat/x.png", "empty", "0 bytes"),
        ("dog/y.png", "truncated", "ends early"),
        ("dog/z.png", "empty", "0 bytes"),
    ],
    "duplicates": [("cat/copy.png", "cat/0.png"), ("dog/copy.png", "dog/0.png")],
    "ignored": [("cat/.DS_Store",), ("dog/.DS_Store",), ("README",), ("Thumbs.db",), ("x/Thumbs.db",)],
    "near_duplicates": [
        ("cat/0.png", "training", "cat/5.png", "test", 2),
        ("cat/1.png", "training", "cat/2.png", "training", 1),
    ],
    "thumbnails": PICTURES,
}


def test_every_file_is_accounted_for() -> None:
    shown = page(pets(**FRAMES))
    assert shown.table("files") == [
        ["outcome", "files", "share"],
        ["accepted", "10", "50.0 %"],
        ["rejected empty 2, truncated 1", "3", "15.0 %"],
        ["duplicates", "2", "10.0 %"],
        ["ignored .DS_Store 2, Thumbs.db 2, README 1", "5", "25.0 %"],
        ["total", "20", ""],
    ]
    top = shown.section("top")
    assert "10 images in 3 classes" in top
    assert "5 for training, 2 for validation, 3 for testing. 10 of 20 files of the source were left out" in top
    assert "3 rejected, 2 duplicates, 5 ignored as no images." in top


def test_classes_are_counted_by_split_the_largest_first_and_none_is_lost() -> None:
    shown = page(pets())
    assert shown.table("classes") == [
        ["class", "images", "training", "validation", "test"],
        ["cat", "7", "4", "1", "2"],
        ["dog", "3", "1", "1", "1"],
        ["hamster", "0", "0", "0", "0"],
    ]
    widths = [
        attrs["style"] for tag, attrs in shown.tags if tag == "i" and attrs["class"] in {"training", "validation", "test"}
    ]
    assert widths == [f"width:{100 * part / 7:.2f}%" for part in (4, 1, 2, 1, 1, 1)]


def test_imbalance_is_told_with_the_accuracy_of_always_answering_the_largest_class() -> None:
    said = page(pets()).section("classes")
    assert "The largest class, cat, has 7 images; the smallest, dog, has 3: a ratio of 2.3. The median is 5." in said
    assert "A network that always predicts cat is correct for 66.7 % of the test images" in said
    # The report of the results compares with the most frequent class of the test split, too.
    other = data_set([*many("dog", 1, 1, 3), *many("cat", 4, 1, 1)], ["cat", "dog"])
    assert "A network that always predicts dog is correct for 75.0 % of the test images" in page(other).section("classes")
    assert "Each class has 4 images." in page(data_set(many("a", 2, 1, 1) + many("b", 2, 1, 1))).section("classes")


def test_every_image_is_in_a_cell_of_the_sizes() -> None:
    sizes = [(10, 20)] * 3 + [(41, 20)] * 2 + [(1, 700), (300, 299), (299, 300)]
    images = [(image(f"a/{n}.png", width=w, height=h), "test") for n, (w, h) in enumerate(sizes)]
    shown = page(data_set(images, ["a", "b"]))
    cells = re.findall(r"(\d+)(?: to (\d+))? wide, (\d+)(?: to (\d+))? high: (\d+) image", shown.text["sizes"])
    counted = 0
    for left, right, bottom, top, count in cells:
        inside = [int(left) <= w <= int(right or left) and int(bottom) <= h <= int(top or bottom) for w, h in sizes]
        assert sum(inside) == int(count)
        counted += int(count)
    assert counted == len(sizes)
    assert "Widths are 1 to 300 pixels, median 25.5; heights are 20 to 700 pixels, median 20." in shown.section("sizes")
    assert ["10 \u00d7 20", "3", "37.5 %"] in shown.table("sizes")


def test_a_narrow_high_image_is_at_the_top_left_and_a_wide_low_one_at_the_bottom_right() -> None:
    images = [(image("a/high.png", width=10, height=33), "test"), (image("a/wide.png", width=33, height=10), "test")]
    html = render_data_report(data_set(images, ["a", "b"]))
    # From 10 to 33 pixels are 24 cells in a square of 300: the last begins at 300 - 300 / 24.
    assert re.search(r'<rect x="0\.00" y="0\.00" [^>]*><title>10 wide, 33 high: 1 image<', html)
    assert re.search(r'<rect x="287\.50" y="287\.50" [^>]*><title>33 wide, 10 high: 1 image<', html)


@pytest.mark.parametrize(("side", "crisp"), [(8, True), (36, True), (37, False), (96, False)])
def test_images_that_are_enlarged_at_least_twice_show_their_pixels(side: int, crisp: bool) -> None:
    thumbnails = {"a/0.png": picture(0, kind="JPEG", size=(side, side))}  # of the samples, which are 72 pixels high
    images = [(image("a/0.png"), "training"), (image("a/1.png"), "test")]
    assert ('<img class="pixelated"' in render_data_report(data_set(images, ["a"], thumbnails=thumbnails))) == crisp


def test_sizes_in_common_are_one_sentence() -> None:
    shown = page(pets())
    assert "Every image has 32 \u00d7 32 pixels." in shown.section("sizes")
    assert "svg" not in dict(shown.tags)


def test_formats_and_flags_are_counted() -> None:
    images = many("a", 1, 1, 0, format="JPEG", flags="alpha;oriented") + many("b", 1, 0, 0, flags="oriented")
    rows = page(data_set(images)).table("sizes")
    assert ["JPEG", "2", "66.7 %"] in rows
    assert ["PNG", "1", "33.3 %"] in rows
    assert ["orientedrotated by its EXIF orientation", "3", "100.0 %"] in rows
    assert ["alphatransparent: put on white", "2", "66.7 %"] in rows


def test_rejects_are_grouped_by_reason_and_the_rest_is_counted() -> None:
    rejected = [(f"cat/{number}", "not_an_image", f"found {number}") for number in range(25)]
    shown = page(pets(rejected=[*rejected, ("dog/9", "empty", "0 bytes")]))
    rows = shown.table("rejected")
    assert rows[1:21] == [[f"cat/{number}", f"found {number}"] for number in range(20)]
    assert rows[22:] == [["dog/9", "0 bytes"]]
    said = shown.section("rejected")
    assert said.index("not an image: 25 files") < said.index("empty: 1 file")
    assert "and 5 more in data/raw/rejected.csv" in said


@pytest.mark.parametrize(
    ("reason", "warned"), [("empty", True), ("unlabelled", False), ("small_class", False), ("left_out", False)]
)
def test_files_without_a_fault_are_listed_but_not_warned_of(reason: str, warned: bool) -> None:
    shown = page(pets(rejected=[(f"test/{number}", reason, "") for number in range(25)]))
    assert ("of the files were rejected" in shown.section("top")) == warned
    assert "25 rejected" in shown.section("top")
    assert reason.replace("_", " ") in shown.section("rejected")


def test_duplicates_stand_beside_what_they_repeat_and_the_rest_is_counted() -> None:
    duplicates = [(f"cat/copy {number}", "cat/0.png") for number in range(57)]
    shown = page(pets(duplicates=duplicates, thumbnails=PICTURES))
    assert ["cat/copy 0", "cat/0.png"] in shown.table("duplicates")
    assert len(shown.table("duplicates")) == 1 + 50
    assert "and 7 more in data/raw/duplicates.csv" in shown.section("duplicates")
    assert ("cat/0.png", "data:image/jpeg;base64,Y2F0IDA=") in shown.pictures()


def test_a_leak_shows_both_pictures_paths_splits_and_labels() -> None:
    pairs = [
        ("cat/0.png", "training", "cat/5.png", "test", 2),
        ("cat/5.png", "test", "dog/1.png", "validation", 0),
        ("cat/1.png", "training", "cat/2.png", "training", 1),
    ]
    shown = page(pets(near_duplicates=pairs, thumbnails={path: PICTURES[path] for path in ("cat/0.png", "cat/5.png")}))
    assert shown.table("leaks") == [
        ["pairs between", "equal pixels", "near-duplicates"],
        ["training and validation", "0", "0"],
        ["training and test", "0", "1"],
        ["validation and test", "1", "0"],
    ]
    said = shown.section("leaks")
    leaks, within = said.split("Near-duplicates within a split")
    assert "2 pairs of equal or nearly equal images are in two splits." in leaks
    assert "1 test image of 3 is in such a pair." in leaks
    assert "equal pixels two labels test cat cat/5.png no picture validation dog dog/1.png" in leaks
    assert "distance 2 training" in leaks
    assert "cat/1.png" not in leaks
    assert "1 pair. They do not distort the metrics" in within
    assert "cat/1.png" in within
    in_leaks = [alt for alt, _ in shown.pictures()][-3:]
    assert in_leaks == ["cat/5.png", "cat/0.png", "cat/5.png"]


def test_leaks_are_cut_after_fifty() -> None:
    pairs = [("cat/0.png", "training", "cat/5.png", "test", distance) for distance in range(60)]
    assert "and 10 more in data/prepared/near_duplicates.csv" in page(pets(near_duplicates=pairs)).section("leaks")


def test_splits_given_by_the_source_are_compared_with_those_now() -> None:
    given = many("a", 3, 0, 2, split="test") + many("b", 2, 1, 0) + many("c", 0, 1, 0, split="training")
    shown = page(data_set(given))
    assert shown.table("splits") == [
        ["split in the source", "training", "validation", "test"],
        ["training", "0", "1", "0"],
        ["test", "3", "0", "2"],
        ["none", "2", "1", "0"],
    ]
    assert "The source has no splits." in page(pets()).section("splits")


def test_groups_are_counted_and_one_in_two_splits_is_a_warning() -> None:
    images = many("a", 15, 0, 15, group="patient 1") + many("b", 15, 0, 0, group="patient 2") + many("c", 0, 0, 15)
    shown = page(data_set(images))
    assert "45 images are in 2 groups; 1 of them is in more than one split." in shown.section("splits")
    assert "1 group in more than one split: patient 1" in shown.section("top")
    images = many("a", 15, 0, 0, group="patient 1") + many("b", 15, 0, 0, group="patient 2")
    assert "30 images are in 2 groups; each group is in one split." in page(data_set(images)).section("splits")


def test_a_test_image_with_two_twins_is_warned_of_once() -> None:
    pairs = [
        ("cat/0.png", "training", "cat/5.png", "test", 2),
        ("cat/5.png", "test", "dog/1.png", "validation", 3),
        ("cat/5.png", "test", "cat/6.png", "test", 3),
    ]
    top = page(pets(near_duplicates=pairs)).section("top")
    assert "1 of 3 test images (33.3 %) has a near-duplicate in the training or validation split" in top
    assert "1 near-duplicate pair with two different labels" in top


def test_a_class_without_images_is_warned_of() -> None:
    assert "1 class without images: hamster" in page(pets()).section("top")


def test_sound_data_are_called_so() -> None:
    top = page(data_set(many("a", 20, 25, 10) + many("b", 20, 25, 10))).section("top")
    assert "No warnings: there are no leaks" in top
    assert "No file of the source was left out." in top


def test_a_warning_leads_to_a_heading() -> None:
    shown = page(pets(**FRAMES))
    ids = [attrs["id"] for _, attrs in shown.tags if "id" in attrs]
    links = [attrs["href"] for tag, attrs in shown.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link} <= set(ids)
    assert "#leaks" in links


@pytest.mark.parametrize("emptied", [*COLUMNS, "thumbnails", "all of them"])
def test_any_of_it_may_be_empty(emptied: str) -> None:
    data = pets(**FRAMES)
    for name in [*COLUMNS, "thumbnails"] if emptied == "all of them" else [emptied]:
        empty: Any = {} if name == "thumbnails" else getattr(data, name).head(0)
        data = dataclasses.replace(data, **{name: empty})
    shown = page(data)
    words = {
        "manifest": ("sizes", "There are no images."),
        "rejected": ("rejected", "No file was rejected."),
        "duplicates": ("duplicates", "No file was left out as a duplicate."),
        "near_duplicates": (
            "leaks",
            "No two splits have equal or nearly equal images. Near-duplicates within a split There",
        ),
        "thumbnails": ("samples", "There are no samples."),
        "ignored": ("files", "ignored 0 0.0 %"),
        "index": ("top", "0 for training, 0 for validation, 0 for testing."),
    }
    for name in words if emptied == "all of them" else [emptied]:
        section, sentence = words[name]
        assert sentence in shown.section(section)


HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}",
    "</style></table></bdi>&amp;",
    "\u05e9\u05dc\u05d5\u05dd\u200f!",
    "w" * 255,
]


def hostile(name: str) -> _Page:
    """The page with a name in every place where a name can be."""
    path = f"{name}/{name}"
    images = [(image(f"{path} {n}", label=name, group=name, format=name, flags="oriented"), "test") for n in range(3)]
    return page(
        data_set(
            images,
            [name, "b", name + name],
            rejected=[(path, name, name)],
            duplicates=[(path, f"{path} 0")],
            ignored=[(f"{path}/README",)],
            near_duplicates=[(f"{path} 0", "training", f"{path} 1", "test", 1), (f"{path} 0", "test", f"{path} 2", "test", 1)],
            thumbnails={f"{path} 0": b"picture"},
        )
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_text(name: str) -> None:
    plain, shown = hostile("plain"), hostile(name)
    assert [(tag, sorted(attrs)) for tag, attrs in shown.tags] == [(tag, sorted(attrs)) for tag, attrs in plain.tags]
    assert [text.replace(name, "plain") for text in shown.names] == plain.names
    assert f"{name}/{name} 0" in [alt for alt, _ in shown.pictures()]
    for section, text in shown.text.items():
        assert text.replace(name, "plain") == plain.text[section]


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a\nb\tc", r"a\nb\tc"), ("\u202egpj.exe", r"\u202egpj.exe"), ("a\x00\x1b", r"a\x00\x1b")],
)
def test_what_cannot_be_seen_or_turns_the_text_is_escaped(name: str, escaped: str) -> None:
    shown = hostile(name)
    assert f"{escaped}/{escaped} 0" in shown.names
    for text in [*shown.text.values(), *(str(value) for _, attrs in shown.tags for value in attrs.values())]:
        assert not set(name) & set("\u202e\x00\x1b") & set(text)


def test_no_request_leaves_the_page() -> None:
    html = render_data_report(pets(**FRAMES))
    assert not re.search(r"@import|url\(|https?:|<script|<link|<iframe", html)
    for _, attrs in _Page(html).tags:
        assert str(attrs.get("src", "data:image/jpeg;base64,")).startswith("data:image/jpeg;base64,")
        assert str(attrs.get("href", "#")).startswith("#")


def test_every_picture_and_chart_has_an_alternative_text() -> None:
    images = [(image(f"a/{n}.png", width=10 + n), "test") for n in range(3)]
    shown = page(data_set(images, [str(number) for number in range(30)] + ["a"], thumbnails={"a/0.png": b"picture"}))
    assert [bool(attrs["alt"]) for tag, attrs in shown.tags if tag == "img"] == [True]
    assert [bool(attrs["aria-label"]) for tag, attrs in shown.tags if tag == "svg"] == [True, True]


def test_the_same_data_give_the_same_bytes() -> None:
    data = pets(**FRAMES)
    turned = dataclasses.replace(data, thumbnails=dict(reversed(list(data.thumbnails.items()))))
    assert render_data_report(data) == render_data_report(data) == render_data_report(turned)


@pytest.mark.parametrize(("classes", "samples"), [(0, 60), (2, 60), (10, 24), (500, 2), (501, 1)])
def test_the_more_classes_the_fewer_samples_of_each(classes: int, samples: int) -> None:
    assert samples_per_class(classes) == samples


def test_samples_are_of_each_class_and_near_duplicates_come_last() -> None:
    images = many("a", 70, 0, 0) + many("b", 2, 0, 0)
    thumbnails = {entry["path"]: entry["path"].encode() for entry, _ in images}
    twins = [("a/0.png", "training", "a/1.png", "training", 1)]
    shown = page(data_set(images, near_duplicates=twins, thumbnails=thumbnails))
    expected = [f"a/{number}.png" for number in range(2, 62)] + ["b/0.png", "b/1.png"]
    assert [alt for alt, _ in shown.pictures()] == [*expected, "a/0.png", "a/1.png"]
    assert "a 70 images" in shown.section("samples")


def test_a_thousand_classes_are_all_there() -> None:
    names = [f"class {number}" for number in range(1000)]
    images = [pair for number, name in enumerate(names) for pair in many(name, 1 + number % 3, 1, 1)]
    thumbnails = {entry["path"]: b"x" * 1000 for entry, _ in images}
    html = render_data_report(data_set(images, names, thumbnails=thumbnails))
    shown = _Page(html)
    rows = shown.table("classes")[1:]
    assert sorted(row[0] for row in rows) == sorted(names)
    sizes = [int(row[1]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 4 * 1000 - 1  # classes of 3, 4 and 5 images in turn, 334 of the first
    assert sum(name in names for name in shown.names) >= 1000
    assert len(shown.pictures()) == 1000
    assert "1,000 classes with fewer than 10 test images" in shown.section("top")
    assert [attrs["class"] for tag, attrs in shown.tags if tag == "path"] == ["training", "validation", "test"]
    assert len(html) < 1000 * 1000 * 4 / 3 + 1_000_000


def test_the_profile_of_classes_is_closed_and_within_its_box() -> None:
    images = [pair for number in range(30) for pair in many(f"c{number:02}", 29 - number, 1, 1)]
    paths = [attrs["d"] or "" for tag, attrs in page(data_set(images)).tags if tag == "path"]
    # 31 images are the full height: of the largest class 29 are training, and each split stands on the one before.
    starts = [path.split()[:2] for path in paths]
    assert starts == [["M0", "100.0"], ["M0", f"{100 - 2900 / 31:.1f}"], ["M0", f"{100 - 3000 / 31:.1f}"]]
    for path in paths:
        assert path.endswith("H0.0Z")
        assert all(0 <= float(y) <= 100 for y in re.findall(r"V(-?[\d.]+)", path))
        assert all(0 <= float(x) <= 1000 for x in re.findall(r"H(-?[\d.]+)", path))


def test_decisions_about_labels_are_counted_and_warned_of_where_they_are_about_no_image() -> None:
    rows = [
        ("cat/0.png", "dog", "relabel", "cat"),
        ("cat/1.png", "dog", "relabel", "cat"),
        ("cat/2.png", "cat", "relabel", "cat"),
        ("dog/0.png", "<b>", "relabel", "dog"),
        ("dog/x.png", "dog", "leave out", ""),
        ("dog/1.png", "dog", "keep", "dog"),
        ("gone.png", "", "relabel", ""),
    ]
    decided = pd.DataFrame(rows, columns=["path", "given", "decision", "label"])
    shown = page(dataclasses.replace(pets(), decided=decided))
    assert "3 labels were changed by decisions of people." in " ".join(shown.text["top"].split())
    assert "1 decision about labels is about no image of the source." in shown.text["top"]
    assert "3 labels changed, 1 image left out, 1 label confirmed, 1 decision about no image" in " ".join(
        shown.text["decisions"].split()
    )
    assert shown.rows["decisions"][1:] == [["dog", "cat", "2"], ["<b>", "dog", "1"]]


def test_without_decisions_nothing_is_said_of_them() -> None:
    assert "decisions" not in page(pets()).text
