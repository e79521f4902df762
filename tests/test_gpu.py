"""Training on a GPU: `pytest -m gpu`. The same bodies run on the processor wherever they say something there.

On a machine without a GPU the tests for one are skipped. They have not passed on one yet: none has been at hand.
"""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from resnet.network.cuda import gpus_of_driver, hidden, obstacle, silence
from tests.imports import ROOT


def why_not() -> str:
    """Why the tests for GPUs are skipped; empty if they are not."""
    gpus = gpus_of_driver()
    if gpus and hidden(len(gpus)) is None:
        return ""
    return silence() or (obstacle() if gpus else None) or "NVIDIA's driver lists no GPU"


ON_GPU = (pytest.mark.gpu, pytest.mark.skipif(bool(why_not()), reason=why_not()))
GPU = pytest.param("GPU", marks=ON_GPU)
BOTH = pytest.mark.parametrize("kind", ["CPU", GPU])
WITH_XLA = ("choices", "choices-xla")
PARTS = {
    "CPU": ("processor-kernels", "gpu-kernels", "precisions", "resumed", "shared", "choices"),
    "GPU": ("gpu-kernels", "precisions", "resumed", "xla", "shared", "choices", "choices-xla"),
}


def run(kind: str, *parts: str) -> dict[str, Any]:
    """The results of parts of `tests/on_device.py`."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"} | ({} if kind == "GPU" else {"CUDA_VISIBLE_DEVICES": "-1"})
    command = [sys.executable, "-m", "tests.on_device", kind, *parts]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@cache
def results(kind: str) -> dict[str, Any]:
    return run(kind, *PARTS[kind])


@BOTH
def test_float32_gives_what_the_processor_gives(kind: str) -> None:
    found, expected = results(kind)["gpu-kernels"], results("CPU")["processor-kernels"]
    assert found["places"] == [f"{kind}:0"]  # nothing falls to the processor in silence
    np.testing.assert_allclose(found["losses"], expected["losses"], atol=1e-4)
    for one, other in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@BOTH
def test_every_precision_trains(kind: str) -> None:
    found = results(kind)["precisions"]
    assert 0.05 < found["float32"] < 3
    assert found["bfloat16"] == pytest.approx(found["float32"], abs=0.1)
    assert found["float16"] == pytest.approx(found["float32"], abs=0.05)


@BOTH
def test_a_run_gives_the_same_bytes_again_and_when_it_is_resumed(kind: str) -> None:
    whole, again, late = results(kind)["resumed"]
    assert whole == again == late


@pytest.mark.parametrize("kind", [GPU])  # on a processor: tests/resnet/network/test_device_kernels.py
def test_a_run_that_xla_compiles_gives_the_same_bytes_again_and_when_it_is_resumed(kind: str) -> None:
    whole, again, late = results(kind)["xla"]
    assert whole == again == late
    assert whole != results(kind)["resumed"][0]  # XLA rounds differently: it did compile the step


@pytest.mark.parametrize(("kind", "part"), [("CPU", "choices"), *(pytest.param("GPU", one, marks=ON_GPU) for one in WITH_XLA)])
def test_steps_per_call_and_kept_images_do_not_change_the_bytes(kind: str, part: str) -> None:
    found = results(kind)[part]
    place = f" {kind}:0"
    assert (
        found["single steps"] == found["three steps"] == found["kept"].removesuffix(place) == found["both"].removesuffix(place)
    )
    assert found["kept"].endswith(place)
    assert found["both"].endswith(place)
    assert len(found["single steps"]) == 64


@BOTH
def test_two_devices_give_what_two_parts_give(kind: str) -> None:
    found = results(kind)["shared"]
    np.testing.assert_allclose(found["devices"], found["parts"], rtol=2e-3 if kind == "GPU" else 1e-4)  # TF32 on a GPU


@pytest.mark.parametrize("kind", [GPU])
def test_memory_that_is_used_up_is_one_sentence(kind: str) -> None:
    sentence = run(kind, "used-up")["used-up"]
    assert sentence.startswith("a step of 40000 images of 32 x 32 pixels needs more memory than is free")


@pytest.mark.parametrize("kind", [GPU])
def test_the_doctor_finds_nothing_wrong(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "commands.checkup.gpus"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, kind) == (0, "GPU"), done.stdout
    assert done.stdout.startswith("TensorFlow sees ")
