"""The start of TensorFlow: what it leaves out, and what works as before afterwards."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT


@pytest.fixture(scope="module")
def started() -> list[str]:
    """What a process prints that starts TensorFlow."""
    program = (
        "import gc, sys; from resnet.network.startup import start_tensorflow\n"
        "before = gc.get_freeze_count(); start_tensorflow()\n"
        "print(before, gc.get_freeze_count() > 100_000, gc.isenabled())\n"
        "print([name for name in ('sklearn', 'pandas', 'matplotlib') if name in sys.modules])\n"
        "import keras, matplotlib.pyplot, pandas, sklearn.metrics; print(keras.backend.backend(), pandas.Series([1]).sum())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def test_tensorflow_starts_without_packages_that_it_does_not_need_and_they_can_be_imported_after(started: list[str]) -> None:
    assert started[1:] == ["[]", "tensorflow 1"]


def test_the_garbage_collector_is_at_work_again_after_the_start(started: list[str]) -> None:
    assert started[0].split() == ["0", "True", "True"]


def test_what_native_code_prints_is_shown_only_after_a_failure() -> None:
    program = (
        "import os; from resnet.network.startup import quiet_import\n"
        "with quiet_import():\n    os.write(2, b'noise')\n"
        "try:\n    with quiet_import():\n        os.write(2, b'reason'); raise ImportError\n"
        "except ImportError:\n    os.write(2, b' end')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == "reason end"


def test_the_library_is_imported_without_the_log_of_tensorflow() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    program = "from resnet import ResNet; print(ResNet.__name__)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    assert (result.stdout, result.stderr) == ("ResNet\n", "")


@pytest.mark.parametrize("deterministic", [True, False])
def test_xla_is_told_to_time_no_kernels_when_operations_are_deterministic(deterministic: bool, tmp_path: Path) -> None:
    """With either option XLA's autotuner takes the first valid configuration: `select_first_config` in autotuner_pass.cc."""
    program = (
        f"from resnet.network.startup import start_tensorflow; start_tensorflow(deterministic={deterministic})\n"
        "import tensorflow as tf\n"
        "print(float(tf.function(lambda x: x + x, jit_compile=True)(tf.constant(1.5))))"
    )
    environment = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout == "3.0\n"
    [options] = [path.read_text("utf-8") for path in tmp_path.glob("*debug_options*")]
    told = re.findall(r"^xla_gpu_(?:deterministic_ops|exclude_nondeterministic_ops): (\w+)$", options, re.MULTILINE)
    assert ("true" in told) == deterministic, options
