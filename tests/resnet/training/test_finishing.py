"""What is fitted after training, and what a model file and its exports make of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from resnet.core.label_sets import LabelSets
from resnet.dataset.arrays import Split, SplitWriter
from resnet.network.folding import folded_network, folded_network_with_features
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from resnet.training.finishing import finish
from resnet.training.temperature import fit_multi_label_calibration, fit_temperature
from resnet.training.thresholds import fit_thresholds


def split(folder: Path, images: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    with SplitWriter(folder, images, 32) as writer:
        for _ in range(images):
            writer.add(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8), int(generator.integers(3)))
    return Split(folder, 3)


@pytest.fixture
def model() -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet((32, 32, 3), 3, blocks=(1,), width=8, zero_init_last_gamma=False, class_names=["a", "b", "c"])


def test_the_saved_model_is_calibrated_and_keeps_its_predictions(model: ResNet, tmp_path: Path) -> None:
    training, validation = split(tmp_path / "training", 50, 0), split(tmp_path / "validation", 40, 1)
    images = validation.gather(np.arange(40))
    before = folded_network(model)(images)
    assert finish(model, training, validation, 16, "float32") == ""
    assert model.temperature == fit_temperature(validation.labels, before)
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras", ["a", "b", "c"], (32, 32, 3))
    logits, features = folded_network_with_features(loaded)(images)
    np.testing.assert_allclose(softmax(logits, axis=1), softmax(before / model.temperature, axis=1), atol=1e-6)
    assert (logits.argmax(axis=1) == before.argmax(axis=1)).all()
    assert loaded.known_score is not None
    assert (loaded.known_score(features) < 0).sum() == 1  # 5 % of 41, without the one on the threshold
    assert keras.saving.load_model(tmp_path / "model.keras").get_config()["temperature"] == model.temperature
    save_model(loaded, tmp_path / "again.keras")
    assert (tmp_path / "again.keras").read_bytes() == (tmp_path / "model.keras").read_bytes()


def test_with_few_validation_images_nothing_is_refused(model: ResNet, tmp_path: Path) -> None:
    reason = finish(model, split(tmp_path / "training", 50, 0), split(tmp_path / "validation", 18, 1), 16, "float32")
    assert reason == "it needs at least 19 validation images, not 18"
    assert model.known_score is None
    assert "refuses" not in model.get_config()


def test_a_network_for_several_labels_is_calibrated_and_gets_thresholds(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    names, sets = ["a", "b", "c"], LabelSets.of_numbers([[0, 1], [], [2]], 3)
    model = ResNet((32, 32, 3), 3, blocks=(1,), width=8, zero_init_last_gamma=False, class_names=names, multi_label=True)
    training, validation = split(tmp_path / "training", 50, 0), split(tmp_path / "validation", 90, 1)
    before = folded_network(model)(validation.gather(np.arange(90)))
    assert finish(model, training, validation, 16, "float32", label_sets=sets) == ""
    truth = sets.of(validation.labels)
    assert (model.temperature, model.offset) == fit_multi_label_calibration(truth, before)
    assert model.offset
    assert model.thresholds == fit_thresholds(truth, before / np.float32(model.temperature) + np.float32(model.offset))
    assert model.thresholds != [0.5, 0.5, 0.5]
    assert model.known_score is None
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras", names, (32, 32, 3), multi_label=True)
    recorded = loaded.thresholds, loaded.temperature, loaded.offset
    assert recorded == (model.thresholds, model.temperature, model.offset)
    after = folded_network(loaded)(validation.gather(np.arange(90)))
    np.testing.assert_allclose(after, before / model.temperature + model.offset, atol=1e-4)
