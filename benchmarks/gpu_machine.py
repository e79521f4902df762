"""The card, its driver and the versions of the libraries that a figure belongs to."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from resnet.core.errors import UserError
from resnet.network.cuda import driver, gpus_of_driver, hidden, obstacle, silence

# In processes of their own: each brings its own CUDA, and would keep memory of the GPU.
_TENSORFLOW = """
import ctypes, json
from resnet.network.cuda import LIBRARIES
from resnet.network.startup import start_tensorflow
gpus = start_tensorflow()
import tensorflow as tf
number = ctypes.c_int()
try:
    ctypes.CDLL(LIBRARIES["CudaRuntime"]).cudaRuntimeGetVersion(ctypes.byref(number))
    cudnn = ctypes.CDLL(LIBRARIES["Cudnn"]).cudnnGetVersion()
except OSError:
    cudnn = 0
print(json.dumps({
    "gpus": gpus,
    "tensorflow": tf.__version__,
    "cuda": f"{number.value // 1000}.{number.value % 1000 // 10}",
    "cudnn": f"{cudnn // 10000}.{cudnn // 100 % 100}.{cudnn % 100}",
}))
"""
_TORCH = """
import json, torch
cudnn = torch.backends.cudnn.version() or 0
print(json.dumps({
    "torch": torch.__version__,
    "torch_cuda": torch.version.cuda,
    "torch_cudnn": f"{cudnn // 10000}.{cudnn // 100 % 100}.{cudnn % 100}",
}))
"""


def look(device: str, torch_python: str) -> dict[str, Any]:
    """The card and the versions; for "cpu" that of TensorFlow alone.

    Args:
        device: "gpu" or "cpu".
        torch_python: the Python that has PyTorch.

    Raises:
        UserError: "gpu" was asked for, and TensorFlow finds none.
    """
    if device == "cpu":
        return {"card": "none, on the processor", "tensorflow": version("tensorflow")}
    listed = gpus_of_driver()
    if not listed or hidden(len(listed)) is not None:
        raise _without(silence() or (obstacle() if listed else "NVIDIA's driver lists none"))
    found = _facts(sys.executable, _TENSORFLOW)
    if not found.pop("gpus", None):
        raise _without(obstacle() or "TensorFlow does not see it; `train-resnet doctor` says more")
    return {"card": listed[0], "driver": driver()} | found | _facts(torch_python, _TORCH)


def described(machine: dict[str, Any]) -> str:
    """One sentence with the card and the versions."""
    told = [str(machine["card"])]
    told += [f"driver {machine['driver']}"] if machine.get("driver") else []
    for name, key, prefix in (("TensorFlow", "tensorflow", ""), ("PyTorch", "torch", "torch_")):
        if machine.get(key):
            cuda, cudnn = machine.get(f"{prefix}cuda"), machine.get(f"{prefix}cudnn")
            told.append(f"{name} {machine[key]}{f' with CUDA {cuda} and cuDNN {cudnn}' if cuda else ''}")
    return f"{', '.join(told)}."


def _without(why: str | None) -> UserError:
    return UserError(
        f"a GPU is needed, but there is none to measure, because {why}; `--device cpu` tries the commands on the processor."
    )


def _facts(python: str, program: str) -> dict[str, Any]:
    """What a program prints as JSON; nothing if it fails."""
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, env=quiet)
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return facts
