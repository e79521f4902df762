"""What the doctor finds about GPUs, with a stand-in for nvidia-smi: the machine of the tests needs none."""

from pathlib import Path

import pytest

from commands.checkup import gpus
from commands.checkup.gpus import examine
from resnet.network import cuda
from tests.resnet.network.test_cuda import L4, MIG, put_nvidia_smi


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, "GPU 0: NVIDIA L4 (UUID: GPU-1)", "550.54.15")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda, "installed", lambda: True)


def test_a_machine_without_a_gpu_trains_on_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = examine([])
    assert (found.wrong, found.found) == (False, "none; training is on the processor")


def test_a_driver_that_does_not_answer_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, "", "")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n", "utf-8")
    (found,) = examine([])
    assert (found.wrong, found.found) == (True, "none, because nvidia-smi fails with exit code 9")


@pytest.mark.parametrize(("seen", "code"), [([], 1), (["NVIDIA L4"], 0)])
def test_setup_stops_without_a_gpu_that_works(
    seen: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, L4 if seen else "", "550.54.15")
    monkeypatch.setattr("resnet.network.startup.start_tensorflow", lambda: seen)
    monkeypatch.setattr(gpus, "_output", lambda program: "")
    assert gpus.main() == code
    said = "TensorFlow sees NVIDIA L4." if seen else "none; training is on the processor. Next: make setup GPU=0 does without."
    assert capsys.readouterr().out.strip() == said


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("closed", "why", "remedy"),
    [
        ("libcusolver.so.11", "it cannot open libcusolver.so.11", "make clean && make setup GPU=1"),
        ("", "the libraries open, but the driver gives it no GPU", "tf.config.list_physical_devices()' says more"),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see_is_wrong(
    closed: str, why: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_output", lambda program: closed)
    (found,) = examine([])
    assert found.wrong
    assert found.found == f"TensorFlow does not see NVIDIA L4, because {why}"
    assert found.remedy.endswith(remedy)


@pytest.mark.usefixtures("card")
def test_an_obstacle_is_named_before_the_libraries_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "installed", lambda: False)
    (found,) = examine([])
    assert found.found == "TensorFlow does not see NVIDIA L4, because the CUDA libraries are not installed"
    assert found.remedy == "run `make setup GPU=1`"


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("failures", "wrong", "remedy"),
    [
        ("", False, ""),
        ("bfloat16: no kernel", True, "set train.precision to float16"),
        ("float32: x; float16: x; bfloat16: x", True, "make clean && make setup GPU=1, or GPU=0 to train on the processor"),
        ("no answer within 300 s", True, "make clean && make setup GPU=1, or GPU=0 to train on the processor"),
    ],
)
def test_a_step_is_tried_in_each_precision(failures: str, wrong: bool, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_output", lambda program: failures)  # what fails is no version of cuDNN either
    (found,) = examine(["NVIDIA L4"])
    assert (found.wrong, found.remedy) == (wrong, remedy)


@pytest.mark.usefixtures("card")
def test_an_old_cudnn_is_why_a_step_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpus, "_output", lambda program: "9.1.0" if "old_cudnn" in program else "float32: DNN library is not found"
    )
    (found,) = examine(["NVIDIA L4"])
    assert found.found == "TensorFlow sees NVIDIA L4, but opens cuDNN 9.1.0, and it needs 9.3 or later"
    assert (found.wrong, found.remedy) == (True, "take the folder of that cuDNN out of LD_LIBRARY_PATH")


def test_a_gpu_that_others_use_is_a_finding_but_not_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, L4, "550.54.15", memory="0, GPU-1, NVIDIA L4, 20000, 23034, Default, [N/A]")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_output", lambda program: "")
    seen, busy = examine(["NVIDIA L4"])
    assert seen.found == "TensorFlow sees NVIDIA L4"
    assert (busy.wrong, busy.found) == (False, "others use NVIDIA L4 (GPU 0) and 19.5 of its 22.5 GiB")
    assert busy.remedy.startswith("training may be slower")


def test_of_several_slices_a_process_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, MIG, "550.54.15")
    monkeypatch.setattr(gpus, "_output", lambda program: "")
    (found,) = examine(["NVIDIA A100-SXM4-40GB MIG 3g.20gb"])
    assert found.found == (
        "TensorFlow sees NVIDIA A100-SXM4-40GB MIG 3g.20gb; of the 2 MIG slices CUDA gives a process one, CUDA_VISIBLE_DEVICES "
        "chooses it"
    )
