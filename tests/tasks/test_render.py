"""`render` with inputs that are not whole."""

import hashlib
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resnet.core.checksums import write_sums
from resnet.core.errors import UserError
from tasks.render import Pages, Pictures, Render, render
from tasks.report.data import PreparedTables, RawTables
from tasks.report.measured import Measured
from tasks.stage.params import Params, Section
from tests.pictures import picture

OUTPUTS = ("loss.png", "accuracy.png", "confusion_matrix.png", "samples.png", "index.html", "data.html", "model_card.md")
TABLES = {
    "raw/manifest.csv": "path,label,split,group,width,height,format,sha256,pixel_hash,fingerprint,flags\n"
    "a,7,,,8,8,PNG,0,0,0,\nb,nan,,,8,8,PNG,0,0,0,oriented\n",
    "raw/rejected.csv": "path,reason,detail\nc,empty,no bytes\n",
    "raw/duplicates.csv": "path,duplicate_of\nd,a\n",
    "raw/ignored.csv": "path\nREADME\n",
    "index.csv": "path,label,split,row\na,7,test,0\nb,nan,test,1\n",
    "near_duplicates.csv": "path,split,other,other_split,distance\na,test,b,test,3\n",
}
EVALUATION = ("details.json", "gate.json", "per_class.csv", "calibration.csv", "samples.npz")
INPUTS = (
    *("classes.json", "model_summary.txt", "history.csv", "metrics.json", "predictions.csv"),
    *(f"evaluation/{name}" for name in EVALUATION),
    *(*TABLES, "thumbnails.parquet", "raw/raw.sha256", "prepared.sha256"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("raw", "evaluation"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes.json").write_text('["7", "nan"]')
    (tmp_path / "model_summary.txt").write_text("layers")
    (tmp_path / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate\n1,2.0,0.5,2.1,0.4,0.01\n2,1.0,0.6,1.1,0.5,0.001\n"
    )
    metrics = {
        "accuracy": 0.5,
        "accuracy_low": 0.1,
        "accuracy_high": 0.9,
        "macro_f1": 0.5,
        "calibration_error": 0.35,
        "loss": 1.0,
    }
    provenance = {"model_md5": "0a", "model_sha256": "0b", "saved_by_keras": "3", "precision": "float32", "versions": {}}
    details = {
        "images": 2,
        "classes": 2,
        "calibration_error_by_chance": 0.5,
        "heat_maps_of_layer": "x",
        "network": {"input_shape": [8, 8, 3], "depth": 50},
        "provenance": provenance,
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "evaluation/details.json").write_text(json.dumps(details))
    (tmp_path / "evaluation/gate.json").write_text('{"passed": true, "checks": []}')
    (tmp_path / "evaluation/per_class.csv").write_text(
        "label,support,predicted,precision,recall,recall_low,recall_high,f1\n7,1,2,0.5,1.0,0.2,1.0,0.666667\nnan,1,0,0,0,0,0.8,0\n"
    )
    (tmp_path / "evaluation/calibration.csv").write_text(
        "above,up_to,images,confidence,accuracy,accuracy_low,accuracy_high\n0.0,1.0,2,0.85,0.5,0.1,0.9\n"
    )
    (tmp_path / "predictions.csv").write_text("path,label,predicted,probability\na,7,7,0.9\nb,nan,7,0.8\n")
    np.savez(
        tmp_path / "evaluation/samples.npz",
        rows=np.array([1, 0]),
        images=np.zeros((2, 8, 8, 3), np.uint8),
        heat_maps=np.zeros((2, 4, 4), np.uint8),
    )
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    pd.DataFrame({"path": ["a"], "jpeg": [picture(0, kind="JPEG")]}).to_parquet(tmp_path / "thumbnails.parquet")
    seal(tmp_path)
    return tmp_path


def seal(folder: Path) -> None:
    for name in ("raw/raw.sha256", "prepared.sha256"):
        write_sums(folder / name)


def run(folder: Path) -> None:
    sections = dict.fromkeys(("ingest", "preprocess", "build", "train", "evaluate"), Section())

    def bundle(kind: type[Any]) -> Any:
        return kind(**{field.name: folder / ".".join(field.name.rsplit("_", 1)) for field in fields(kind)})

    measured = replace(bundle(Measured), evaluation=folder / "evaluation")
    render(
        Render(dpi=40),
        parameters=Params(3, sections),
        raw=RawTables(folder / "raw"),
        prepared=bundle(PreparedTables),
        measured=measured,
        pictures=bundle(Pictures),
        pages=bundle(Pages),
    )


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
def test_an_input_that_is_cut_short_is_named(folder: Path, name: str, left: float) -> None:
    content = (folder / name).read_bytes()
    cut = content[: int(left * len(content)) if 0 < left < 1 else int(left)]
    if Path(name).name in ("history.csv", "predictions.csv", "per_class.csv", "calibration.csv") and left == -1:
        pytest.skip("only the end of the last line is lost")
    (folder / name).write_bytes(cut)
    with pytest.raises(UserError, match=rf"{re.escape(name)} is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        run(folder)


# Of lines whose last cell is text nobody can tell that the text is shorter than it was.
@pytest.mark.parametrize(
    "name", ["classes.json", "raw/duplicates.csv", "index.csv", "near_duplicates.csv", "thumbnails.parquet"]
)
@pytest.mark.parametrize("left", [0, 0.5, -8])
def test_what_was_written_short_is_named_too(folder: Path, name: str, left: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(left * len(content)) if 0 < left < 1 else int(left)])
    seal(folder)
    with pytest.raises(UserError, match=rf"{name} is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        run(folder)
