"""The name of a data set: from what the user states, or else from its source."""

import pytest

from tasks.report.origin import Origin, describe_origin


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("../photos", "photos"),
        ("/data/my photos (2)/", "my photos (2)"),
        ("data/photos.tar.gz", "photos"),
        ("photos.ZIP", "photos"),
        ("a/labels.csv", "labels"),
        ("v1.5", "v1.5"),
        ("tfds:dtd", "dtd"),
        ("tfds:", "images"),
        ("..", "images"),
        (".zip", ".zip"),
        ("a\nb", "a\nb"),
    ],
)
def test_a_source_gives_its_last_part_without_its_ending(source: str, name: str) -> None:
    assert describe_origin(source, name=None, license=None, citation=None) == Origin(name)


def test_the_place_of_the_data_does_not_matter() -> None:
    names = {describe_origin(f"{place}/photos.zip", name=None, license=None, citation=None).name for place in (".", "/b", "c")}
    assert names == {"photos"}


def test_what_the_user_states_comes_first() -> None:
    stated = describe_origin("builtin/digits", name="My digits", license="CC0", citation="Me")
    assert stated == Origin("My digits", None, "CC0", "Me")


@pytest.mark.parametrize(
    ("name", "hub"),
    [("someone/clothes-1.0", True), ("clothes", False), ("some one/clothes", False), ("a/b/c", False), ("-/b", False)],
)
def test_only_user_and_name_is_on_the_hub(name: str, hub: bool) -> None:
    found = describe_origin("photos", name=name, license=None, citation=None)
    assert (found.name, found.hub) == (name, name if hub else None)


def test_the_built_in_data_set_is_known() -> None:
    known = describe_origin("builtin/digits", name=None, license=None, citation=None)
    assert known.name == "Optical Recognition of Handwritten Digits"
    assert known.citation is not None
    assert known.citation.startswith("Alpaydin, E. and Kaynak, C. (1998).")
    assert (known.hub, known.license) == (None, None)
