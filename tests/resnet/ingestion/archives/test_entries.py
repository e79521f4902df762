"""Names of members, and the limits of an archive."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile
from resnet.ingestion.archives import entries
from resnet.ingestion.archives.entries import Allowance, Folder, Names, usable_name

MIB = 1 << 20


@pytest.mark.parametrize(
    ("name", "normalised"),
    [("cats/1.png", "cats/1.png"), ("./cats//1.png", "cats/1.png"), ("a..b/c.png", "a..b/c.png"), ("été.png", "été.png")],
)
def test_a_name_becomes_a_relative_path(name: str, normalised: str) -> None:
    assert usable_name(name) == normalised


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/passwd", "absolute"),
        ("C:/x.png", "absolute"),
        (r"\\server\x.png", "absolute"),
        ("a/../../x.png", "'..'"),
        (r"a\..\x.png", "'..'"),
        ("x\0.png", "NUL"),
        ("caf\udce9.png", "not UTF-8"),
        ("./.", "no name"),
        ("é" * 128, "255 bytes"),
        ("ab/" * 1365 + "cd", "4096 bytes"),
    ],
)
def test_a_name_that_is_not_usable_is_refused(name: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        usable_name(name)


def test_the_second_file_of_a_name_is_refused_and_the_second_folder_is_none() -> None:
    names = Names()
    assert names.file("a/x.png") == "a/x.png"
    with pytest.raises(BadFile, match="same name"):
        names.file("./a/x.png")
    assert names.folder("a/") == Folder("a")
    assert names.folder("./a") is None
    assert names.folder("./") is None


def test_an_archive_may_unpack_to_64_mib_or_to_200_times_its_size() -> None:
    allowance = Allowance(Path("x.zip"))
    allowance.check_ratio(1, 64 * MIB)
    allowance.check_ratio(MIB, 200 * MIB)
    with pytest.raises(UserError, match=r"x.zip looks like a decompression bomb: 'a' unpacks from 1,048,576 to 209,715,201"):
        allowance.check_ratio(MIB, 200 * MIB + 1, "a")


def test_50_000_entries_hold_32_bytes_on_average() -> None:
    allowance = Allowance(Path("x.tar"))
    for _ in range(49_999):
        allowance.take(31)
    with pytest.raises(UserError, match=r"first 50,000 entries hold 31\.0 bytes on average"):
        allowance.take(31)


def test_the_number_of_entries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRIES", 2)
    allowance = Allowance(Path("x.tar"))
    allowance.take(100)
    allowance.take(100)
    with pytest.raises(UserError, match="has 3 entries or more, but an archive may have 2 at most: divide it, or unpack it"):
        allowance.take(100)
