"""The kernels for GPUs give the values of those for processors; with XLA the step is deterministic."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.device_kernels import GPU, PROCESSOR, DeviceKernels, kernels, using
from resnet.network.model import ResNet
from tests.imports import ROOT

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
# Trains four steps, twice by XLA and once without; prints the losses of each, and what XLA says to TensorFlow's own pooling.
PROGRAM = """
from dataclasses import replace
from resnet.network.startup import start_tensorflow
start_tensorflow()
import keras, numpy as np, tensorflow as tf
from resnet.network.device_kernels import GPU, using
from resnet.network.model import ResNet
from tests.resnet.training.recipes import make

IMAGES = tf.constant(np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=np.uint8))
LABELS = tf.constant(np.arange(8, dtype=np.uint16) % 3)

def losses(kernels, compiled):
    with using(kernels):
        keras.utils.set_random_seed(0)
        model = ResNet((16, 16, 3), 3, depth=18, width=8, blocks=[1])
"""


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
