"""Model files that are refused before Keras reads them: hostile ones, and files with a flipped bit."""

import hashlib
import io
import json
import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.network.archive import KNOWN_SCORE, MEMBERS, read_model, read_model_facts, sealed
from resnet.network.known_score import KnownScore
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from resnet.network.stored_weights import stored_weights
from tests.hostile.models import hostile_models
from tests.imports import ROOT

CLASSES = ["a", "b", "c"]
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(ResNet(SHAPE, 3, blocks=(1,), width=8, class_names=CLASSES), path)
    return path


def test_hostile_models_are_refused_and_do_nothing(saved: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    models = hostile_models(saved, touched)
    assert len(models) >= 55
    for model in models:
        path = tmp_path / "model.keras"
        path.write_bytes(model.content)
        try:
            load_model(path, CLASSES, SHAPE)
        except UserError as error:
            sentence = str(error)
        else:
            pytest.fail(f"{model.name} was loaded")
        with pytest.raises(UserError):  # what OpenVINO, which does not build the network in Keras, asks of it
            stored_weights(path, read_model(path))
        assert re.search(model.refusal, sentence), f"{model.name}: {sentence}"
        assert sentence.startswith(str(path)), model.name
        assert "run `dvc repro`" in sentence, model.name
        assert not touched.exists(), model.name


def test_a_known_score_that_does_not_fit_is_refused(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"] |= {"refuses": 0.05}
    stated = members | {"config.json": json.dumps(config).encode()}
    score = KnownScore(np.zeros(32, np.float32), np.ones((32, 4), np.float32), np.ones(4, np.float32), 0.5, 1).to_bytes()
    path = tmp_path / "model.keras"
    for content, sentence in (
        (stated, "it has known_score.f32 without `refuses` in its config.json, or the other way round"),
        (members | {KNOWN_SCORE: score}, "it has known_score.f32 without `refuses`"),
        (stated | {KNOWN_SCORE: score[:-4]}, "its known score has 656 bytes, which do not fit 32 features, 3 classes"),
        (stated | {KNOWN_SCORE: score[:-4] + b"\0\0\xc0\x7f"}, "its known score has numbers that are not finite"),
        (stated | {KNOWN_SCORE: np.full(165, 3e38, "<f4").tobytes()}, "not finite or too large"),
        (stated | {"other.f32": score}, "its members are"),
    ):
        path.write_bytes(sealed(content))
        with pytest.raises(UserError, match=sentence):
            read_model(path)
    for share in (0, "0.05", float("nan"), 0.9, None):
        config["config"] |= {"refuses": share}
        path.write_bytes(sealed(members | {"config.json": json.dumps(config).encode(), KNOWN_SCORE: score}))
        with pytest.raises(UserError, match="refuses in its config.json is"):
            read_model(path)
    path.write_bytes(sealed(stated | {KNOWN_SCORE: score}))
    assert read_model(path).known_score is not None


def test_a_flipped_bit_anywhere_is_found(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    path = tmp_path / "model.keras"
    generator = np.random.default_rng(0)
    ends = [8 * place + 1 for place in (0, 10, len(content) - 200, len(content) - 66, len(content) - 1)]
    for bit in [*generator.integers(0, 8 * len(content), 45).tolist(), *ends]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError, match=r"is damaged or cut short \(it does not end in the SHA-256 of its content\)"):
            read_model(path)


def test_a_network_that_asks_for_terabytes_is_refused_without_allocating_them(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"] |= {"width": 2**12}
    path = tmp_path / "model.keras"
    path.write_bytes(sealed(members | {"config.json": json.dumps(config).encode()}))
    file = read_model(path)  # the settings are within limits, and so are the arrays
    assert file.weight_bytes < len(path.read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="its weights have .* bytes where its network has"):
        load_model(path, CLASSES, SHAPE)
    with keras.StatelessScope():  # Keras creates here what an earlier scope has left
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_keras_itself_reads_what_is_saved(saved: Path) -> None:
    model = keras.saving.load_model(saved, safe_mode=True)
    with zipfile.ZipFile(saved) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
        np.testing.assert_array_equal(weights["layers/dense/vars/0"], model.get_layer("predictions").kernel)
        members = {name: archive.read(name) for name in archive.namelist()}
    assert sealed(members) == saved.read_bytes()


def test_facts_are_read_without_keras(saved: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from resnet.network.archive import read_model_facts\n"
        f"facts = read_model_facts(pathlib.Path({str(saved)!r}))\n"
        "print(facts.class_names, facts.image_shape, facts.config['width'], facts.keras_version)\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [f"['a', 'b', 'c'] (32, 32, 3) 8 {keras.__version__}", "[]"]
    save_model(ResNet(SHAPE, 3, blocks=(1,), width=8), tmp_path / "nameless.keras")
    with pytest.raises(UserError, match="holds a ResNet without class names"):
        read_model_facts(tmp_path / "nameless.keras")


def test_a_network_of_a_stock_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)]).save(path)
    with pytest.raises(UserError, match="does not end in the SHA-256 of its content"):
        read_model(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in MEMBERS}
    path.write_bytes(sealed(members))
    with pytest.raises(UserError, match="holds a 'Sequential' instead of a ResNet"):
        read_model(path)


def test_the_file_is_what_other_tools_read(saved: Path) -> None:
    content = saved.read_bytes()
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()
    with zipfile.ZipFile(saved) as archive:
        assert [(one.filename, one.date_time, one.compress_type) for one in archive.infolist()] == [
            (name, (1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED) for name in ("metadata.json", "config.json", "model.weights.h5")
        ]
        assert json.loads(archive.read("config.json"))["module"] == "resnet.model"  # as in files from before it moved
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"


def test_a_network_for_several_labels_is_read_as_it_was_saved(saved: Path, tmp_path: Path) -> None:
    model = ResNet(SHAPE, 3, blocks=(1,), width=8, class_names=CLASSES, multi_label=True, thresholds=[0.2, 0.5, 0.9])
    path = tmp_path / "model.keras"
    save_model(model, path)
    loaded = load_model(path, CLASSES, SHAPE, multi_label=True)
    assert (loaded.multi_label, loaded.thresholds) == (True, [0.2, 0.5, 0.9])
    assert read_model_facts(path).thresholds == [0.2, 0.5, 0.9]
    assert read_model_facts(saved).thresholds is None
    with pytest.raises(
        UserError, match="gives any number of labels to an image, but the data give one label to each image; run"
    ):
        load_model(path, CLASSES, SHAPE, multi_label=False)
    with pytest.raises(UserError, match="gives one label to each image, but the data give any number of labels to an image"):
        load_model(saved, CLASSES, SHAPE, multi_label=True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"multi_label": False}, "multi_label in its config.json is False"),
        ({"multi_label": 1}, "multi_label in its config.json is 1"),
        ({"thresholds": [0.5, 0.5, 0.5]}, "thresholds in its config.json is"),  # without multi_label
        ({"multi_label": True, "thresholds": [0.5, 0.5]}, "thresholds in its config.json is"),
        ({"multi_label": True, "thresholds": [0.5, 0.5, 2.0]}, "thresholds in its config.json is"),
        ({"multi_label": True, "thresholds": [0.5, 0.5, float("nan")]}, "thresholds in its config.json is"),
        ({"multi_label": True, "thresholds": [0.5, 0.5, "1"]}, "thresholds in its config.json is"),
        ({"multi_label": True, "thresholds": None}, "thresholds in its config.json is None"),
        ({"multi_label": True, "thresholds": [0.5, 0.5, 1.0]}, "thresholds must be 3 numbers in"),
    ],
)
def test_other_settings_for_several_labels_are_refused(
    saved: Path, tmp_path: Path, given: dict[str, object], sentence: str
) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"] |= given
    path = tmp_path / "model.keras"
    path.write_bytes(sealed(members | {"config.json": json.dumps(config).encode()}))
    with pytest.raises(UserError, match=sentence):
        load_model(path, CLASSES, SHAPE)
