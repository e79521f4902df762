"""The manifest of `data/raw/`, against lines that are written by hand."""

from pathlib import Path

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.images.manifest import COLUMNS, read_manifest

HASHES = ["00" * 31 + "01", "ff" * 32]
LINES = [
    f"a/1.png,cat,,,5,4,PNG,{'ab' * 32},{HASHES[0]},0102,",
    f'"a/2, so.png",dog,test,patient,5,4,JPEG,{"cd" * 32},{HASHES[1]},03ff,alpha;oriented',
]


def written(folder: Path, *lines: str, columns: tuple[str, ...] = COLUMNS) -> Path:
    (folder / "manifest.csv").write_text("\n".join([",".join(columns), *lines, ""]))
    return folder


def test_each_line_is_an_image(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, *LINES), ["cat", "dog"])
    assert len(manifest) == 2
    assert manifest.paths == ["a/1.png", "a/2, so.png"]
    assert (manifest.splits, manifest.groups) == ([None, "test"], [None, "patient"])
    np.testing.assert_array_equal(manifest.labels, np.array([0, 1], np.uint16))
    np.testing.assert_array_equal(manifest.pixel_hashes, [[0] * 31 + [1], [255] * 32])
    np.testing.assert_array_equal(manifest.fingerprints, [[1, 2], [3, 255]])


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.csv"):
        read_manifest(tmp_path, ["cat"])


@pytest.mark.parametrize(
    ("lines", "classes", "words"),
    [
        (LINES, ["cat"], "no column or class 'dog'"),
        ([], ["cat", "dog"], "no lines"),
        ([LINES[0], LINES[1].rsplit(",", 1)[0]], ["cat", "dog"], "not whole"),
        ([LINES[0].replace("0102", "01zz")], ["cat"], "hexadecimal"),
        ([LINES[0].replace(HASHES[0], "00")], ["cat"], "not whole"),
    ],
)
def test_a_damaged_manifest_is_refused(lines: list[str], classes: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        read_manifest(written(tmp_path, *lines), classes)


def test_a_manifest_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column or class 'label'"):
        read_manifest(written(tmp_path, "x", columns=("path",)), ["cat"])
