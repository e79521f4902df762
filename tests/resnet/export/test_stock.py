"""The network in Keras's own layers, which loads where this project is not installed."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from resnet.export.classifier import reference
from resnet.export.stock import stock_model
from resnet.network.model import ResNet

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
NETWORKS = [(18, "D", "small"), (50, "v1", "large")]  # depth, variant and stem
PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("resnet", "tasks"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())  # the project is installed as an editable package
import keras, numpy
for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}.keras")
    numpy.save(f"{name}.npy", model.predict(numpy.load("images.npy"), verbose=0))
print([name for name in sys.modules if name.partition(".")[0] in ("resnet", "tasks")])
"""


def make(depth: int, variant: str, stem: str) -> tuple[keras.Model, np.ndarray]:
    """The network in Keras's layers, and the probabilities that ours gives."""
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 3, depth=depth, variant=variant, stem=stem, blocks=(1, 1), width=8, zero_init_last_gamma=False)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return stock_model(model), np.asarray(reference(model, tf.constant(IMAGES)))


def test_it_computes_the_same_and_loads_with_keras_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    every: dict[str, np.ndarray] = {}
    for kind in NETWORKS:
        stock, expected = make(*kind)
        assert {type(layer).__module__.partition(".")[0] for layer in stock.layers} == {"keras"}
        assert np.ptp(expected) > 0.2
        np.testing.assert_allclose(stock(IMAGES, training=False), expected, atol=1e-5)
        every[kind[1]] = expected
        stock.save(tmp_path / f"{kind[1]}.keras")
    command = [sys.executable, "-I", "-c", PROGRAM, *every]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]
    for name, expected in every.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-5)
