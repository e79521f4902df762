"""What `train` says when it is on the processor, with a stand-in for nvidia-smi: it never falls there in silence."""

from pathlib import Path

import pytest

from resnet.network import cuda
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params
from tasks.train import Train, _say_surprises
from tests.imports import ROOT
from tests.resnet.network.test_cuda import L4, put_nvidia_smi

pytestmark = pytest.mark.slow  # the stand-in is a process

BY_PROCESSOR = "train: on the processor and not on NVIDIA L4, because "


def said(capsys: pytest.CaptureFixture[str], gpus: list[str], *more: list[str]) -> str:
    """What is said about the default parameters where TensorFlow sees these GPUs."""
    params = load_params(ROOT / PARAMS_YAML, read_graph(ROOT / DVC_YAML)).section(Train)
    _say_surprises(params, params.recipe(), gpus, *more)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("version", "visible", "installed", "why"),
    [
        ("550.54.15", "", True, "CUDA_VISIBLE_DEVICES is '', which hides all GPUs: unset it"),
        ("470.57.02", None, True, "the driver is 470.57.02, and CUDA 12 needs 525.60.13 or later: update NVIDIA's driver"),
        ("550.54.15", None, False, "the CUDA libraries are not installed: run `make setup GPU=1`"),
        ("550.54.15", None, True, "TensorFlow does not see it: run `train-resnet doctor`"),
    ],
)
def test_training_on_the_processor_of_a_machine_with_a_gpu_says_why(
    version: str,
    visible: str | None,
    installed: bool,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, L4, version)
    monkeypatch.setattr(cuda, "installed", lambda: installed)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert said(capsys, []) == f"{BY_PROCESSOR}{why}"


def test_a_driver_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, "", "")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n", "utf-8")
    assert said(capsys, []) == ("train: on the processor, because nvidia-smi fails with exit code 9: run `train-resnet doctor`")


def test_nothing_is_said_without_a_driver_or_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert said(capsys, []) == ""
    put_nvidia_smi(tmp_path, monkeypatch, L4, "550.54.15")
    assert said(capsys, ["NVIDIA L4"]) == ""


def test_a_gpu_that_others_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, ["NVIDIA L4"], ["another process uses it"]) == "train: another process uses it"
    assert said(capsys, [], []) == ""
