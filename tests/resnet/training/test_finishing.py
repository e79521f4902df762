"""What is fitted after training, and what a model file and its exports make of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from resnet.dataset.arrays import Split, SplitWriter
from resnet.network.folding import folded_network, folded_network_with_features
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from resnet.training.finishing import finish
from resnet.training.temperature import fit_temperature


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
