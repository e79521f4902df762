"""Predictions by OpenVINO from a model file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet.network.archive import read_model
from resnet.network.normalisation import normalise
from resnet.network.precision import cpu_flags
from resnet.network.saving import save_model
from resnet.openvino.engine import load_network
from tests.imports import ROOT
from tests.resnet.openvino.test_graph import IMAGES, trained


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(trained(), path)
    return path


def test_the_size_of_a_batch_does_not_change_the_bits_and_an_answer_stays(path: Path) -> None:
    network = load_network(path, read_model(path), "float32")
    whole = network(IMAGES)
    kept = whole.copy()
    again = np.concatenate([network(IMAGES[number : number + 1]) for number in range(len(IMAGES))])
    np.testing.assert_array_equal(again, kept)
    np.testing.assert_array_equal(whole, kept)


@pytest.mark.skipif(not {"avx512_bf16", "amx_bf16"} & cpu_flags(), reason="the processor does not compute in bfloat16")
def test_in_bfloat16_it_gives_nearly_the_same_logits(path: Path) -> None:
    expected = np.asarray(trained()(normalise(IMAGES), training=False))
    found = load_network(path, read_model(path), "bfloat16")(IMAGES)
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_it_needs_neither_tensorflow_nor_keras(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from resnet.network.archive import read_model\n"
        "from resnet.openvino.engine import load_network\n"
        f"path = Path({str(path)!r}); load_network(path, read_model(path), 'float32')\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
