"""`render` with complete and with damaged inputs."""

import hashlib
import re
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tests.tasks.results import TABLES, seal, write_results
from tests.tasks.results import render_results as run

OUTPUTS = (
    "loss.png",
    "accuracy.png",
    "confusion_matrix.png",
    "samples.png",
    "index.html",
    "data.html",
    "model_card.md",
    "croissant.json",
)
EVALUATION = ("details.json", "gate.json", "per_class.csv", "calibration.csv", "uncalibrated.csv", "samples.npz")
CSVS = ("history.csv", "predictions.csv", "per_class.csv", "calibration.csv", "uncalibrated.csv")
INPUTS = (
    *("classes.json", "model_summary.txt", "history.csv", "metrics.json", "predictions.csv"),
    *(f"evaluation/{name}" for name in EVALUATION),
    *(*TABLES, "thumbnails.parquet", "raw/raw.sha256", "prepared.sha256"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_results(tmp_path)
    return tmp_path


def test_all_is_drawn(folder: Path) -> None:
    run(folder)
    assert all((folder / name).stat().st_size > 1000 for name in OUTPUTS)
    page = (folder / "index.html").read_text("utf-8")
    assert 'alt="b: nan, predicted as 7"' in page
    assert hashlib.md5((folder / "raw/manifest.csv").read_bytes()).hexdigest() in page
    assert "no bytes" in (folder / "data.html").read_text("utf-8")
    assert "# Model card: a ResNet for 2 classes" in (folder / "model_card.md").read_text("utf-8")


@pytest.mark.parametrize("name", INPUTS)
def test_a_missing_input_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        run(folder)


@pytest.mark.parametrize("name", [name for name in INPUTS if name != "model_summary.txt"])
@pytest.mark.parametrize("left", [0, 10, 0.5, -1, -8])
def test_a_truncated_input_is_named(folder: Path, name: str, left: float) -> None:
    content = (folder / name).read_bytes()
    cut = content[: int(left * len(content)) if 0 < left < 1 else int(left)]
    if Path(name).name in CSVS and left == -1:
        pytest.skip("only the last line break is lost")
    (folder / name).write_bytes(cut)
    with pytest.raises(UserError, match=rf"{re.escape(name)} is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        run(folder)


# Tables whose last column is text are left out: a shorter text in the last line cannot be detected.
@pytest.mark.parametrize(
    "name", ["classes.json", "raw/duplicates.csv", "index.csv", "near_duplicates.csv", "thumbnails.parquet"]
)
@pytest.mark.parametrize("left", [0, 0.5, -8])
def test_a_truncated_input_with_matching_checksums_is_named(folder: Path, name: str, left: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(left * len(content)) if 0 < left < 1 else int(left)])
    seal(folder)
    with pytest.raises(UserError, match=rf"{name} is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        run(folder)
