"""The kernels for GPUs give the values of those for processors; with XLA the step is deterministic."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.device_kernels import GPU, PROCESSOR, DeviceKernels, kernels, using
from resnet.network.model import ResNet
from tests.imports import ROOT

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
# Three steps of training in a process of its own, since op determinism cannot be switched off again. Prints, for each kind of
# kernels, the losses and a hash of the weights.
PROGRAM = """
import hashlib
from dataclasses import replace
from resnet.network.startup import start_tensorflow
start_tensorflow()
import numpy as np, tensorflow as tf
from resnet.network.device_kernels import GPU, using
from tests.resnet.training.test_loop import BATCH, NO_DRAWS, network, trainer

def train(kernels):
    with using(kernels):
        model = network()
        one = trainer(model)
        losses = [float(one.train_step(*BATCH, tf.constant(NO_DRAWS))[0]) for _ in range(3)]
    weights = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()
    print(*losses, weights)

for kernels in (GPU, replace(GPU, xla=True), replace(GPU, xla=True)):
    train(kernels)
"""


@cache
def network(choice: DeviceKernels) -> list[np.ndarray]:
    """Logits in training, gradients and moving statistics of a small network with these kernels."""
    with using(choice):
        keras.utils.set_random_seed(0)
        model = ResNet((32, 32, 3), 3, width=8, blocks=[1, 1])
        with tf.GradientTape() as tape:
            logits = model(IMAGES, training=True)
            loss = tf.reduce_mean(logits**2) + tf.reduce_sum(model(IMAGES, training=False)[0])
        gradients = tape.gradient(loss, model.trainable_variables)
    return [np.asarray(one) for one in (logits, *gradients, *model.get_weights())]


def test_this_machine_has_the_kernels_of_its_device() -> None:
    assert kernels() == (GPU if tf.config.list_physical_devices("GPU") else PROCESSOR)
    with using(GPU):
        assert kernels() == GPU


@pytest.mark.parametrize("choice", [GPU, replace(GPU, xla=True), replace(PROCESSOR, xla=True)])
def test_the_kernels_of_a_gpu_give_the_same_values(choice: DeviceKernels) -> None:
    for one, other in zip(network(choice), network(PROCESSOR), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(1.0, float(np.abs(other).max())), rtol=1e-4)


def test_a_training_step_compiles_by_xla_and_gives_the_same_bits_twice() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    plain, first, second = (line.split() for line in done.stdout.splitlines())
    assert first == second
    assert first[3] != plain[3]  # XLA compiled it, and rounds differently
    np.testing.assert_allclose([float(one) for one in first[:3]], [float(one) for one in plain[:3]], rtol=1e-4)
