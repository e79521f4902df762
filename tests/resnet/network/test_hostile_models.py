"""Model files that are refused before Keras reads them; a flipped bit anywhere in a file."""

import io
import re
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.network.archive import count_weights, read_model, sealed
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from tests.hostile.models import hostile_models

CLASSES = ["a", "b", "c"]
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(ResNet(SHAPE, 3, blocks=(1,), width=8, class_names=CLASSES), path)
    return path


def test_hostile_models_are_refused_with_a_sentence_and_do_nothing(saved: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    models = hostile_models(saved, touched)
    assert len(models) >= 25
    for model in models:
        path = tmp_path / "model.keras"
        path.write_bytes(model.content)
        try:
            load_model(path, CLASSES, SHAPE)
        except UserError as error:
            sentence = str(error)
        else:
            pytest.fail(f"{model.name} was loaded")
        assert re.search(model.refusal, sentence), f"{model.name}: {sentence}"
        assert sentence.startswith(str(path)), model.name
        assert "run `dvc repro`" in sentence, model.name
        assert not touched.exists(), model.name


def test_every_bit_counts(saved: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", ["v1.5", "v1", "D"])
@pytest.mark.parametrize("stem", ["large", "small"])
def test_the_weights_are_counted_before_they_are_made(depth: int, variant: str, stem: str) -> None:
    model = ResNet(SHAPE, 3, depth=depth, variant=variant, stem=stem, blocks=(1, 2), width=8)
    biases = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.use_bias)
    assert (biases > 0) == (variant == "v1")
    assert count_weights(model.get_config()) == model.count_params() - biases


def test_resnet_50_has_the_number_of_weights_that_is_known_of_it() -> None:
    config = {"input_shape": [224, 224, 3], "classes": 1000, "width": 64, "blocks": [3, 4, 6, 3]}
    config |= {"depth": 50, "variant": "v1.5", "stem": "large"}
    assert count_weights(config) == 25_610_152  # 25,557,032 that torchvision's has to train, and 53,120 statistics


def test_keras_itself_reads_what_is_saved(saved: Path) -> None:
    model = keras.saving.load_model(saved, safe_mode=True)
    with zipfile.ZipFile(saved) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
        np.testing.assert_array_equal(weights["layers/dense/vars/0"], model.get_layer("predictions").kernel)
        members = {name: archive.read(name) for name in archive.namelist()}
    assert sealed(members) == saved.read_bytes()
