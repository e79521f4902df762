"""The inputs of `render`: results of the other stages for two classes, which look like a number and a missing value."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resnet.core.checksums import write_sums
from tasks.build import Build
from tasks.ingest import Ingest
from tasks.render import Pages, Pictures, Render, render
from tasks.report.data import PreparedTables, RawTables
from tasks.report.measured import Measured
from tasks.stage.params import Params, Section
from tests.pictures import picture

TABLES = {
    "raw/manifest.csv": "path,label,split,group,width,height,format,sha256,pixel_hash,fingerprint,flags\n"
    "a,7,,,8,8,PNG,0,0,0,\nb,nan,,,8,8,PNG,0,0,0,oriented\n",
    "raw/rejected.csv": "path,reason,detail\nc,empty,no bytes\n",
    "raw/duplicates.csv": "path,duplicate_of\nd,a\n",
    "raw/ignored.csv": "path\nREADME\n",
    "index.csv": "path,label,split,row\na,7,test,0\nb,nan,test,1\n",
    "near_duplicates.csv": "path,split,other,other_split,distance\na,test,b,test,3\n",
}


def write_results(folder: Path) -> None:
    """Writes all files that `render` reads into one folder."""
    for name in ("raw", "evaluation"):
        (folder / name).mkdir()
    for name in ("classes.json", "raw/classes.json"):
        (folder / name).write_text('["7", "nan"]')
    (folder / "model_summary.txt").write_text("layers")
    (folder / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate\n1,2.0,0.5,2.1,0.4,0.01\n2,1.0,0.6,1.1,0.5,0.001\n"
    )
    metrics = {
        "accuracy": 0.5,
        "accuracy_low": 0.1,
        "accuracy_high": 0.9,
        "macro_f1": 0.5,
        "calibration_error": 0.35,
        "calibration_error_by_chance": 0.5,
        "loss": 1.0,
        "calibration_error_before": 0.41,
        "loss_before": 1.25,
    }
    provenance = {"model_md5": "0a", "model_sha256": "0b", "saved_by_keras": "3", "precision": "float32", "versions": {}}
    details = {
        "images": 2,
        "classes": 2,
        "macro_f1_classes": 2,
        "network": {"input_shape": [8, 8, 3], "depth": 50, "variant": "v1.5", "temperature": 1.5},
        "provenance": provenance,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "evaluation/details.json").write_text(json.dumps(details))
    (folder / "evaluation/gate.json").write_text('{"passed": true, "checks": []}')
    (folder / "evaluation/per_class.csv").write_text(
        "label,support,predicted,precision,recall,recall_low,recall_high,f1\n7,1,2,0.5,1.0,0.2,1.0,0.666667\nnan,1,0,0,0,0,0.8,0\n"
    )
    (folder / "evaluation/calibration.csv").write_text(
        "above,up_to,images,confidence,accuracy,accuracy_low,accuracy_high\n0.0,1.0,2,0.85,0.5,0.1,0.9\n"
    )
    (folder / "evaluation/uncalibrated.csv").write_text(
        "above,up_to,images,confidence,accuracy,accuracy_low,accuracy_high\n0.0,1.0,2,0.91,0.5,0.1,0.9\n"
    )
    (folder / "predictions.csv").write_text(
        "path,label,predicted,probability,label_probability\na,7,7,0.9,0.9\nb,nan,7,0.8,0.2\n"
    )
    np.savez(
        folder / "evaluation/samples.npz",
        rows=np.array([1, 0]),
        images=np.zeros((2, 8, 8, 3), np.uint8),
        fall=np.zeros((2, 8, 8), np.float32),
        lowest=np.array([0.7, 0.6]),
    )
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    pd.DataFrame({"path": ["a"], "jpeg": [picture(0, kind="JPEG")]}).to_parquet(folder / "thumbnails.parquet")
    seal(folder)


def render_results(folder: Path) -> None:
    """Runs `render` on these files."""
    sections = dict.fromkeys(("preprocess", "train", "evaluate"), Section())
    render(
        Render(dpi=40, license=None, data_name=None, data_license=None, data_citation=None),
        parameters=Params(
            3,
            {
                "ingest": Ingest.model_construct(source="../photos.zip"),
                **sections,
                "build": Build.model_construct(weights="builtin/random"),
            },
        ),
        raw=RawTables(folder / "raw"),
        prepared=bundle(PreparedTables, folder),
        measured=replace(bundle(Measured, folder), evaluation=folder / "evaluation"),
        pictures=bundle(Pictures, folder),
        pages=bundle(Pages, folder),
        croissant_json=folder / "croissant.json",
    )


def seal(folder: Path) -> None:
    """Writes the checksums of the tables."""
    for name in ("raw/raw.sha256", "prepared.sha256"):
        write_sums(folder / name)


def bundle(kind: type[Any], folder: Path) -> Any:
    """A dataclass of paths in that folder: `history_csv` is `history.csv`."""
    return kind(**{field.name: folder / ".".join(field.name.rsplit("_", 1)) for field in fields(kind)})
