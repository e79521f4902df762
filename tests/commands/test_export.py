"""Exports: each is checked on real images, and nothing is written that does not agree with the model."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import Result

from commands import export as export_module
from resnet.core.classes import write_classes
from resnet.core.label_sets import LabelSets
from resnet.dataset.arrays import SplitWriter
from resnet.export import formats
from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from resnet.network.model import ResNet
from resnet.network.saving import save_model
from tasks.preprocess import preprocess
from tests.imports import ROOT
from tests.parameters import PREPROCESS
from tests.pictures import picture
from tests.resnet.export import test_multi_label as several
from tests.resnet.export.test_formats import give_known_score
from tests.resnet.export.test_int8 import NAMES, separable, trained


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project with prepared data and a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export_module, "_start_quietly", lambda: None)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    splits = ["training", "training", "validation", "validation", "validation", "test"] * 3
    files = [
        Candidate(f"{n}.jpg", "ab"[n % 2], partial(picture, n, kind="JPEG", size=(60, 44)), split)
        for n, split in enumerate(splits)
    ]
    (tmp_path / "data").mkdir()
    write_raw(tmp_path / "data" / "raw", Source(["a", "b"], lambda: iter(files)), max_pixels=10**6)
    preprocess(PREPROCESS, raw=tmp_path / "data" / "raw", prepared=tmp_path / "data" / "prepared")
    keras.utils.set_random_seed(0)
    save_model(ResNet((32, 32, 3), 2, blocks=(1,), width=4, class_names=["a", "b"]), tmp_path / "models" / "resnet.keras")
    return tmp_path


def test_the_agreement_is_printed_also_for_encoded_images(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("export", "--to", "savedmodel,keras,openvino", "--to", "keras", "--out", "out", "--images", "6")
    assert result.exit_code == 0
    first, second, third = [line for line in result.stdout.splitlines() if line.startswith("export: ")]
    assert first.startswith("export: out/resnet-savedmodel: same label on 6 of 6 images, largest difference of a probability ")
    assert "; of many sizes and shapes: same label on 14 of 14 images, largest difference of a probability " in first
    assert "; encoded: same label on 20 of 20 images" in first
    assert second.startswith("export: out/resnet.keras: same label on 6 of 6 images")
    assert "; of many sizes and shapes: same label on 14 of 14 images" in second
    assert third.startswith("export: out/resnet-openvino: same label on 6 of 6 images")
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("made-from.json", "resnet-openvino", "resnet-savedmodel", "resnet.keras")
    ]


def write_data(folder: Path, calibration: np.ndarray) -> None:
    """Replaces the splits by separable images, those to calibrate with by others, and the model by one that separates them."""
    prepared = folder / "data" / "prepared"
    images, labels = separable(60, seed=2)
    for split, pixels in (("training", calibration), ("validation", images)):
        shutil.rmtree(prepared / split)
        with SplitWriter(prepared / split, len(pixels), 32) as writer:
            for image, label in zip(pixels, labels, strict=False):
                writer.add(image, int(label))
    (prepared / "classes.json").write_text(json.dumps(NAMES))
    save_model(trained(*separable(64, seed=1)), folder / "models" / "resnet.keras")


def test_an_int8_export_has_a_report(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write_data(folder, separable(40, seed=3)[0])
    result = train_resnet("export", "--to", "openvino,onnx", "--int8", "--out", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith(
        "export: out/resnet-int8-openvino: accuracy 100.00 % instead of 100.00 % in float32 (+0.00 points, "
    )
    assert "; same label on 60 of 60 images, difference of a probability " in first
    assert "; of many sizes and shapes: same label on 14 of 14 images" in second
    assert second.endswith("; too few validation images to rule out a loss of more than 0.5 points")
    names = ["made-from.json", "resnet-int8-openvino", "resnet-int8-openvino.json", "resnet-int8.onnx", "resnet-int8.onnx.json"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == names
    report = json.loads((folder / "out" / names[4]).read_text("utf-8"))
    assert (report["images"], report["int8_accuracy"], report["calibration_images"]) == (60, 1.0, 40)
    assert report["bytes"] == (folder / "out" / names[3]).stat().st_size
    assert report["low"] < 0 < report["high"]


def test_an_int8_export_that_would_refuse_many_images_has_no_known_score(
    folder: Path, train_resnet: Callable[..., Result]
) -> None:
    write_data(folder, separable(40, seed=3)[0])
    model = trained(*separable(64, seed=1))
    give_known_score(model, separable(200, seed=1)[0])  # of fewer than 100, rounding may not move one over the threshold
    save_model(model, folder / "models" / "resnet.keras")
    result = train_resnet("export", "--to", "onnx", "--int8", "--out", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    shares = r"; refused as none of the classes \d+\.\d % instead of \d+\.\d %"
    assert re.search(f"{shares}, so it has no known score; ", result.stdout)
    report = json.loads((folder / "out" / "resnet-int8.onnx.json").read_text("utf-8"))
    assert report["int8_refused"] > report["refused"] + 0.05
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "out" / "resnet-int8.onnx")
    assert [one.name for one in session.get_outputs()] == ["probabilities"]


def test_an_int8_export_that_recognises_less_is_refused_with_the_figures(
    folder: Path, train_resnet: Callable[..., Result]
) -> None:
    write_data(folder, np.full((8, 32, 32, 3), 117, np.uint8))  # of one grey: every other value is out of range
    result = train_resnet("export", "--to", "onnx", "--int8")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("export: onnx in int8 is worse than in float32 by more than 0.5 points beyond chance: ")
    assert " % instead of 100.00 % in float32 (-" in result.stderr
    assert result.stderr.endswith("nothing was written; export in float32, without --int8.\n")
    assert list((folder / "exports").iterdir()) == []


@pytest.mark.parametrize(
    ("format_", "absent", "sentence"),
    [
        ("keras", "", "there is no int8 export to keras: --int8 is for openvino, onnx, litert."),
        ("onnx", "data/prepared/training", "data/prepared/training is missing; an earlier stage writes it: run `dvc repro`."),
        (
            "onnx",
            "data/prepared/validation",
            "data/prepared/validation is missing; an earlier stage writes it: run `dvc repro`.",
        ),
    ],
)
def test_what_an_int8_export_needs_is_one_sentence(
    folder: Path, train_resnet: Callable[..., Result], format_: str, absent: str, sentence: str
) -> None:
    if absent:
        shutil.rmtree(folder / absent)
    result = train_resnet("export", "--to", format_, "--int8")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"export: {sentence}")


def test_an_export_that_does_not_agree_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    kept = formats.FORMATS["keras"]

    def write(model: ResNet, path: Path) -> None:
        head = model.get_layer("predictions")
        head.bias.assign(np.add(head.bias, [0.01, 0.0]))
        kept.write(model, path)

    monkeypatch.setitem(formats.FORMATS, "keras", dataclasses.replace(kept, write=write))
    result = train_resnet("export", "--to", "keras")
    assert result.exit_code == 1
    assert result.stderr.startswith("export: keras does not agree with the model: same label on ")
    assert list((folder / "exports").iterdir()) == []


def test_an_export_that_resizes_otherwise_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    def resized(images: keras.KerasTensor, size: int) -> keras.KerasTensor:
        """Keras's layer, which crops whole pixels and keeps fractions of levels."""
        options = {"interpolation": "bicubic", "crop_to_aspect_ratio": True, "antialias": True}
        return keras.layers.Resizing(size, size, **options)(images)

    monkeypatch.setattr("resnet.export.stock._resized", resized)
    keras.utils.set_random_seed(0)
    sensitive = ResNet((32, 32, 3), 2, blocks=(1, 1), width=8, class_names=["a", "b"], zero_init_last_gamma=False)
    save_model(sensitive, folder / "models" / "resnet.keras")
    result = train_resnet("export", "--to", "keras")
    assert result.exit_code == 1
    assert result.stderr.startswith("export: keras with images to resize does not agree with the model: same label on ")
    assert list((folder / "exports").iterdir()) == []


def test_a_model_of_other_classes_is_refused(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "data" / "prepared" / "classes.json").write_text('["a", "c"]')
    result = train_resnet("export", "--to", "keras")
    assert result.exit_code == 1
    assert "models/resnet.keras knows 2 classes (a, b), but the data have 2 (a, c)" in result.stderr


def test_without_a_model_it_says_what_makes_one(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "models" / "resnet.keras").unlink()
    result = train_resnet("export", "--to", "keras")
    assert result.exit_code == 1
    assert result.stderr.startswith("export: models/resnet.keras is missing; an earlier stage")


def test_another_model_can_be_exported_but_not_over_itself(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "models" / "resnet.keras").rename(folder / "better.keras")
    assert train_resnet("export", "--to", "keras", "--model", "better.keras").exit_code == 0
    assert (folder / "exports" / "better.keras").exists()
    result = train_resnet("export", "--to", "keras", "--model", "better.keras", "--out", ".")
    assert result.exit_code == 1
    assert result.stderr == "export: better.keras is the model itself: name another folder with --out.\n"


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("dvc.yaml/new", "dvc.yaml is no folder, but dvc.yaml/new/resnet.keras is to be "),
        ("reports/evaluation", "reports/evaluation/resnet.keras is reports/evaluation or in it, which belongs to the pipeline"),
        ("/proc/new", "/proc/new/resnet.keras cannot be written (No such file or directory); expected a path in a folder "),
        ("a" * 300, "aaa... cannot be written (File name too long); expected a path in a folder "),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_sentence(
    folder: Path, train_resnet: Callable[..., Result], out: str, why: str
) -> None:
    result = train_resnet("export", "--to", "keras", "--out", out)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert why in result.stderr


def test_a_named_file_that_is_no_model_is_not_to_be_removed(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "README.md").write_text("# Notes\n", encoding="utf-8")
    result = train_resnet("export", "--to", "keras", "--model", "README.md")
    assert result.exit_code == 1
    assert "--model README.md cannot be read as a model" in result.output
    assert "remove" not in result.output


def test_a_model_that_predicts_nan_is_refused_before_it_is_quantised(folder: Path, train_resnet: Callable[..., Result]) -> None:
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, class_names=["a", "b"])
    model.get_layer("predictions").bias.assign([0, np.nan])
    save_model(model, folder / "models" / "resnet.keras")
    result = train_resnet("export", "--to", "onnx", "--int8")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "dense/vars/1 in its weights has numbers that are not finite" in result.stderr


SETS = LabelSets.of_numbers([[1], [], [0, 1], [0]], 2)  # more sets than classes


def write_sets(folder: Path, calibration: np.ndarray) -> None:
    """As `write_data`, for images with several labels each."""
    prepared = folder / "data" / "prepared"
    images, truth = several.separable(200, seed=2)
    numbers = [SETS.members.tolist().index(row) for row in truth.tolist()]
    assert set(numbers) == {0, 1, 2, 3}
    for split, pixels in (("training", calibration), ("validation", images)):
        shutil.rmtree(prepared / split)
        with SplitWriter(prepared / split, len(pixels), 32) as writer:
            for image, label in zip(pixels, numbers, strict=False):
                writer.add(image, label)
    write_classes(prepared / "classes.json", ["top", "left"], SETS)
    save_model(several.trained(*several.separable(64, seed=1)), folder / "models" / "resnet.keras")


def test_exports_for_several_labels_are_compared_set_by_set(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write_sets(folder, several.separable(40, seed=3)[0])
    result = train_resnet("export", "--to", "onnx,keras,openvino", "--out", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    for line in result.stdout.splitlines():
        assert ": same labels on 200 of 200 images, same answer on 100.00 % of the pairs of image and class, largest " in line
        assert "; of many sizes and shapes: same labels on 14 of 14 images, same answer on 100.00 % of the pairs" in line
    quantised = train_resnet("export", "--to", "onnx", "--int8", "--out", "out")
    assert (quantised.exit_code, quantised.stderr) == (0, "")
    report = json.loads((folder / "out" / "resnet-int8.onnx.json").read_text("utf-8"))
    assert (report["images"], report["accuracy"], report["int8_accuracy"], report["same_pairs"]) == (200, 1.0, 1.0, 1.0)


def test_an_int8_export_that_loses_sets_is_refused(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write_sets(folder, np.full((8, 32, 32, 3), 117, np.uint8))
    result = train_resnet("export", "--to", "onnx", "--int8")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("export: onnx in int8 is worse than in float32 by more than 0.5 points beyond chance: ")
    assert " % instead of 100.00 % in float32 (-" in result.stderr
    assert list((folder / "exports").iterdir()) == []


def test_a_saved_model_for_several_labels_is_checked_on_encoded_files(
    folder: Path, train_resnet: Callable[..., Result]
) -> None:
    """The photographs of the fixture, with classes that no image has together."""
    write_classes(folder / "data" / "prepared" / "classes.json", ["a", "b"], LabelSets.of_numbers([[0], [1]], 2))
    options = {"blocks": (1,), "width": 4, "class_names": ["a", "b"], "multi_label": True, "thresholds": [0.01, 0.99]}
    save_model(ResNet((32, 32, 3), 2, **options), folder / "models" / "resnet.keras")  # type: ignore[arg-type]
    result = train_resnet("export", "--to", "savedmodel", "--out", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"; encoded: same labels on 2\d of 2\d images, same answer on ", result.stdout)


def test_a_model_for_one_label_is_refused_for_data_with_several(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write_classes(folder / "data" / "prepared" / "classes.json", ["a", "b"], LabelSets.of_numbers([[0], [1]], 2))
    result = train_resnet("export", "--to", "keras")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "models/resnet.keras gives one label to each image, but the data give any number of labels" in result.stderr
