"""Sharing a step among devices; what they compute together is tested in `tests/test_devices.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.network.devices import share_among
from tests.imports import ROOT
from tests.resnet.network.test_cuda import L4, MIG, put_nvidia_smi


def test_one_device_needs_no_sharing() -> None:
    assert share_among(1) is tf.distribute.get_strategy()
    assert share_among(1).num_replicas_in_sync == 1


def test_more_devices_than_there_are_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"^train\.devices is 99, but TensorFlow finds (no GPU|\d+ GPUs?): set it to \d"):
        share_among(99)


def test_more_devices_than_one_slice_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, MIG, "550.54.15")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["one slice"])
    with pytest.raises(
        UserError, match=r"^train\.devices is 99, but the GPUs are divided by MIG, and CUDA gives a process one "
    ):
        share_among(99)


def test_devices_that_are_hidden_are_a_user_error_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, L4, "550.54.15")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    with pytest.raises(UserError) as caught:
        share_among(2)
    assert str(caught.value) == (
        "train.devices is 2, but TensorFlow finds none of this machine's GPUs, because CUDA_VISIBLE_DEVICES is '', which hides "
        "all GPUs: unset it, or set train.devices to 1 to train on the processor."
    )


def test_a_network_is_loaded_onto_all_devices() -> None:
    program = """
import pathlib, tempfile, tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from resnet.network.devices import share_among
from resnet.network.model import ResNet
from resnet.network.saving import load_any_model, save_model
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "model.keras"
    save_model(ResNet((32, 32, 3), 2, blocks=(1,), width=4), path)
    strategy = share_among(2)
    with strategy.scope():
        model = load_any_model(path)
copies = [strategy.experimental_local_results(weight.value) for weight in model.weights]
print({len(copy) for copy in copies}, {one.device[-1] for copy in copies for one in copy} == {"0", "1"})
"""
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["{2}", "True"]
