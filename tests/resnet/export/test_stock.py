"""The network in Keras's own layers, which loads where this project is not installed."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.export.classifier import reference
from resnet.export.stock import stock_model
from resnet.network.model import ResNet

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("resnet", "tasks"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())  # the project is installed as an editable package
import keras, numpy
model = keras.saving.load_model("model.keras")
numpy.save("found.npy", model.predict(numpy.load("images.npy"), verbose=0))
print([name for name in sys.modules if name.partition(".")[0] in ("resnet", "tasks")])
"""


@pytest.mark.parametrize(("depth", "variant", "stem"), [(18, "D", "small"), (50, "v1", "large")])
def test_it_computes_the_same_and_loads_with_keras_alone(depth: int, variant: str, stem: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 3, depth=depth, variant=variant, stem=stem, blocks=(1, 1), width=8, zero_init_last_gamma=False)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    stock = stock_model(model)
    assert {type(layer).__module__.partition(".")[0] for layer in stock.layers} == {"keras"}
    expected = np.asarray(reference(model, tf.constant(IMAGES)))
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(stock(IMAGES, training=False), expected, atol=1e-5)
    stock.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)
