"""The page of the data, before anything is trained."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from tasks.preprocess import preprocess
from tests.imports import ROOT
from tests.parameters import PREPROCESS
from tests.pictures import picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    return tmp_path


def test_the_page_needs_no_model(folder: Path, train_resnet: Callable[..., Result]) -> None:
    files = [Candidate(f"{n}.png", ["cat", "dog"][n % 2], partial(picture, n), None) for n in range(12)]
    Path("data").mkdir()
    write_raw(Path("data/raw"), Source(["cat", "dog"], lambda: iter(files)), max_pixels=10**6)
    preprocess(PREPROCESS.model_copy(update={"validation_share": 0.2}), raw=Path("data/raw"), prepared=Path("data/prepared"))
    result = train_resnet("look")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "look: reports/data.html shows the data")
    page = Path("reports/data.html").read_text("utf-8")
    assert "dog" in page
    assert "data:image" in page


def test_without_data_it_says_what_makes_them(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("look")
    remedy = "is missing: run `dvc repro preprocess`, which trains nothing, and then this again.\n"
    assert (result.exit_code, result.stderr) == (1, f"look: data/raw {remedy}")
    Path("data/raw").mkdir(parents=True)  # as after `train-resnet advise`
    assert train_resnet("look").stderr == f"look: data/prepared/prepared.sha256 {remedy}"
