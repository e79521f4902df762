"""Predictions for image files, on standard output."""

import csv
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import Result

from commands.predict import _set_temporary_folder
from commands.prediction_lines import writer
from resnet.images.decoding import load
from resnet.network import archive
from resnet.network.known_score import KnownScore
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.network.saving import save_model
from resnet.prediction.prediction import Prediction
from tests.imports import ROOT
from tests.pictures import picture, write_tree

NAMES = ["cat", "a,b", "x\ny\x1b"]


@pytest.fixture(scope="module")
def model() -> ResNet:
    keras.utils.set_random_seed(1)
    made = ResNet((32, 32, 3), 3, blocks=(1,), width=8, zero_init_last_gamma=False, class_names=NAMES)
    made.get_layer("predictions").bias.assign([0.5, 1.0, 0.0])
    return made


@pytest.fixture
def folder(tmp_path: Path, model: ResNet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project with a model, and images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet.network.startup.start_tensorflow", list)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    save_model(model, tmp_path / "models" / "resnet.keras")
    write_tree(tmp_path / "photos", {"1.png": picture(1), "2.png": picture(2)[:80], "3.png": picture(3)})
    return tmp_path


def probabilities(model: ResNet, path: Path) -> np.ndarray:
    logits = model(normalise(tf.constant(load(path.read_bytes(), 32)[None])), training=False)
    return np.asarray(tf.nn.softmax(logits))[0]


def test_a_line_for_each_image_and_errors_on_standard_error(
    folder: Path, model: ResNet, train_resnet: Callable[..., Result]
) -> None:
    result = train_resnet("predict", "photos", "--top", "3", "--precision", "float32")
    assert result.exit_code == 1  # one file could not be used
    lines = result.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["photos/1.png", "photos/3.png"]
    expected = probabilities(model, folder / "photos" / "1.png")
    shown = ["cat", "a,b", r"x\ny\x1b"]
    assert lines[0].split("\t")[1:] == [f"{shown[n]} {expected[n]:.4f}" for n in np.argsort(-expected)]
    assert re.search(r"^predict: photos/2.png: .+ \(truncated\)$", result.stderr, re.MULTILINE)
    assert result.stderr.splitlines()[-1] == "predict: 1 of 3 files was not predicted, for the reason above"
    assert "image/s" not in result.stderr  # the bar is only for terminals


def test_both_engines_give_the_same_output_and_are_named(folder: Path, train_resnet: Callable[..., Result]) -> None:
    tensorflow, openvino, again = (
        train_resnet("predict", "photos", "--csv", "--top", "3", "--precision", "float32", "--engine", engine)
        for engine in ("tensorflow", "openvino", "openvino")
    )
    assert "engine: tensorflow, as --engine says\nprecision: float32, as --precision says\n" in tensorflow.stderr
    assert "engine: openvino, as --engine says\nprecision: float32, as --precision says\n" in openvino.stderr
    assert again.stdout == openvino.stdout
    left, right = (list(csv.DictReader(one.stdout.splitlines(keepends=True))) for one in (tensorflow, openvino))
    assert [row["path"] for row in right] == ["photos/1.png", "photos/3.png"]
    for one, other in zip(left, right, strict=True):
        assert [one[f"label_{rank}"] for rank in (1, 2, 3)] == [other[f"label_{rank}"] for rank in (1, 2, 3)]
        assert [float(one[f"probability_{rank}"]) for rank in (1, 2, 3)] == pytest.approx(
            [float(other[f"probability_{rank}"]) for rank in (1, 2, 3)], abs=5e-6
        )
    reasons = [re.findall("^predict: photos/2.png.*", one.stderr, re.MULTILINE) for one in (tensorflow, openvino)]
    assert reasons[0] == reasons[1] != []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--engine", "openvino"], "predict: openvino is not installed: run pip install 'train-resnet[openvino]', or pip "),
        (["--engine", "openvino", "--precision", "float16"], "predict: openvino is not installed: "),
    ],
)
def test_without_the_extra_it_says_how_to_install_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result], options: list[str], sentence: str
) -> None:
    monkeypatch.setattr("resnet.openvino.runtime.find_spec", lambda _: None)
    result = train_resnet("predict", "photos/1.png", *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(sentence)


def test_a_model_whose_weights_do_not_fit_is_refused_by_both_engines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    kept = archive._arguments
    monkeypatch.setattr(archive, "_arguments", lambda *given: kept(*given) | {"width": 9})
    for engine in ("tensorflow", "openvino"):
        result = train_resnet("predict", "photos/1.png", "--model", "models/resnet.keras", "--engine", engine)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "predict: --model models/resnet.keras cannot be read as a model (" in result.stderr


def test_csv_and_json(folder: Path, model: ResNet, train_resnet: Callable[..., Result]) -> None:
    expected = probabilities(model, folder / "photos" / "3.png")
    order = np.argsort(-expected)
    table = train_resnet("predict", "photos/3.png", "--csv", "--top", "2", "--precision", "float32")
    (row,) = csv.DictReader(table.stdout.splitlines(keepends=True))
    assert list(row) == ["path", "label_1", "probability_1", "label_2", "probability_2"]
    assert (row["path"], row["label_1"], row["label_2"]) == ("photos/3.png", NAMES[order[0]], NAMES[order[1]])
    assert float(row["probability_2"]) == pytest.approx(expected[order[1]], abs=1e-5)
    found = json.loads(train_resnet("predict", "photos/3.png", "--json", "--top", "9", "--precision", "float32").stdout)
    assert found["path"] == "photos/3.png"
    assert [one["label"] for one in found["predictions"]] == [NAMES[n] for n in order]
    assert sum(one["probability"] for one in found["predictions"]) == pytest.approx(1, abs=1e-5)


def test_none_of_these_is_an_answer(folder: Path, model: ResNet, train_resnet: Callable[..., Result]) -> None:
    # A score of 1 - 1e-9 x.x - z, where z is the same feature for both columns: one image is refused, the other is not.
    features = keras.Model(model.inputs, model.get_layer("avg_pool").output)
    pixels = np.stack([load((folder / "photos" / name).read_bytes(), 32) for name in ("1.png", "3.png")])
    x = np.asarray(features(normalise(tf.constant(pixels)), training=False)).astype(np.float64)
    place = int(np.abs(x[0] - x[1]).argmax())
    kernel = np.zeros((x.shape[1], 3), np.float32)
    kernel[place] = 1 / x[:, place].mean()
    own = ResNet.from_config(model.get_config())
    own.set_weights(model.get_weights())
    own.refuse(KnownScore(np.zeros(len(kernel), np.float32), kernel, np.zeros(3, np.float32), 1e-9, 0), 0.05)
    save_model(own, folder / "own.keras")
    expected = 1 - x[:, place] / x[:, place].mean()
    assert expected.min() < -0.01 < 0.01 < expected.max()
    options = ("--unknown", "--model", "own.keras", "--precision", "float32")
    for engine in ("tensorflow", "openvino"):
        lines = train_resnet("predict", "photos", "--engine", engine, *options).stdout.splitlines()
        assert [line.endswith("\tnone of these") for line in lines] == (expected < 0).tolist()
        assert all(len(line.split("\t")) == 2 for line in lines)
        rows = list(csv.DictReader(train_resnet("predict", "photos", "--csv", *options).stdout.splitlines(keepends=True)))
        assert list(rows[0]) == ["path", "known", "known_score", "label_1", "probability_1"]
        assert [int(row["known"]) for row in rows] == (expected >= 0).tolist()
        assert [float(row["known_score"]) for row in rows] == pytest.approx(expected.tolist(), abs=1e-4)
    found = json.loads(train_resnet("predict", "photos/3.png", "--json", *options).stdout)
    assert (found["known"], found["known_score"]) == (int(expected[1] >= 0), pytest.approx(expected[1], abs=1e-4))
    plain = train_resnet("predict", "photos/3.png", "--model", "own.keras", "--csv").stdout
    assert plain.startswith("path,label_1,probability_1\n")


def test_a_model_without_a_known_score_refuses_nothing(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("predict", "photos/1.png", "--unknown")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("predict: --unknown needs a model with a known score, but models/resnet.keras has none: ")
    assert "train again with at least 19 validation images (raise preprocess.validation_share, or add images)" in result.stderr


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_of_no_class_in_every_output(score: float, capsys: pytest.CaptureFixture[str]) -> None:
    one = Prediction("a.png", np.array([0.25, 0.75]), score)
    for form in ("text", "csv", "json"):
        writer(form, ["cat", "dog"], 1, unknown=True)(one)
    text, head, row, found = capsys.readouterr().out.splitlines()
    assert text == "a.png\tnone of these"
    assert (head, row) == ("path,known,known_score,label_1,probability_1", "a.png,0,,dog,0.750000")
    assert json.loads(found, parse_constant=pytest.fail) == {
        "path": "a.png",
        "known": 0,
        "known_score": None,
        "predictions": [{"label": "dog", "probability": 0.75}],
    }


def test_probabilities_that_are_not_finite_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    writer("json", ["cat"], 1, unknown=False)(Prediction("a.png", np.array([np.nan])))
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["predictions"] == [
        {"label": "cat", "probability": None}
    ]


def test_a_model_file_is_enough_outside_of_a_project(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "models" / "resnet.keras").rename(folder / "other.keras")
    (folder / "dvc.yaml").unlink()
    result = train_resnet("predict", "photos/1.png", "--model", "other.keras")
    assert result.exit_code == 0
    assert result.stdout.startswith("photos/1.png\t")
    refused = train_resnet("predict", "photos/1.png").stderr
    assert refused.startswith(f"predict: there is no dvc.yaml in {folder}, ")
    assert "--model FILE" in refused


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["photos", "--model", "photos/1.png"],
            "predict: --model photos/1.png cannot be read as a model (it does not end in the",
        ),
        (["photos/none.png"], "predict: photos/none.png: there is no such file or folder (unreadable)"),
        (["photos/*.tif"], "predict: photos/*.tif: no file that can be an image matches it (empty)"),
        (["models/none", "--model", "photos/1.png"], "predict: models/none: there is no such file or folder (unreadable)"),
        (["empty"], "predict: empty: the folder has no files that can be images (empty)"),
        ([""], "predict: '': the path is empty, as that of a variable that is not set (unreadable)"),
    ],
)
def test_mistakes_are_sentences(folder: Path, arguments: list[str], sentence: str, train_resnet: Callable[..., Result]) -> None:
    Path("empty").mkdir()
    result = train_resnet("predict", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1  # nothing else, such as the precision
    assert not {"Traceback", "remove", "dvc repro"} & {*result.stderr.replace("`", "").split()}


def test_an_archive_is_predicted_like_its_folder(folder: Path, train_resnet: Callable[..., Result]) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/3.png", "3.png")
    zipped, plain = (train_resnet("predict", path, "--precision", "float32") for path in ("photos.zip", "photos/3.png"))
    assert (zipped.exit_code, zipped.stdout) == (0, plain.stdout.replace("photos/3.png", "photos.zip/3.png"))


def test_a_read_only_system_without_a_temporary_folder_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", fail)
    _set_temporary_folder()
    assert tempfile.gettempdir() == "/dev/shm"


def test_without_a_model_it_says_what_makes_one(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "models" / "resnet.keras").unlink()
    refused = train_resnet("predict", "photos/1.png").stderr
    assert refused.startswith("predict: models/resnet.keras is missing; an earlier stage")


def test_a_network_for_several_labels_names_those_above_their_thresholds(
    folder: Path, model: ResNet, train_resnet: Callable[..., Result]
) -> None:
    several = ResNet.from_config(model.get_config() | {"multi_label": True})
    several.set_weights(model.get_weights())
    pixels = np.stack([load((folder / "photos" / name).read_bytes(), 32) for name in ("1.png", "3.png")])
    expected = 1 / (1 + np.exp(-np.asarray(several(normalise(tf.constant(pixels)), training=False), np.float64)))
    # A label of the first image alone, of both and of none.
    high, low = expected.max(axis=0), expected.min(axis=0)
    several.decide_by([float(np.mean(expected[:, 0])), float(low[1] - 0.01), float(high[2] + 0.01)])
    assert high[0] - low[0] > 0.001
    save_model(several, folder / "several.keras")
    sets = [["cat", "a,b"] if row[0] == high[0] else ["a,b"] for row in expected]
    for engine in ("tensorflow", "openvino"):
        options = ("photos", "--model", "several.keras", "--precision", "float32", "--engine", engine)
        found = [json.loads(line) for line in train_resnet("predict", *options, "--json", "--top", "9").stdout.splitlines()]
        assert [one["labels"] for one in found] == sets
        for one, row in zip(found, expected, strict=True):
            shares = {prediction["label"]: prediction["probability"] for prediction in one["predictions"]}
            assert [shares[name] for name in NAMES] == pytest.approx(row.tolist(), abs=5e-6)
            assert one["probabilities"] == [shares[name] for name in one["labels"]]
        table = csv.DictReader(train_resnet("predict", *options, "--csv").stdout.splitlines(keepends=True))
        assert [row["labels"].split("|") for row in table] == sets


def test_unknown_is_refused_for_several_labels(folder: Path, model: ResNet, train_resnet: Callable[..., Result]) -> None:
    several = ResNet.from_config(model.get_config() | {"multi_label": True})
    save_model(several, folder / "several.keras")
    result = train_resnet("predict", "photos/1.png", "--model", "several.keras", "--unknown")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "predict: --unknown is for models that give one label to each image, but several.keras gives any number of labels, and "
        "none to an image that shows none of the classes: leave out --unknown.\n"
    )
