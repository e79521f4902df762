"""CUDA without a GPU: stand-ins for nvidia-smi and for a library, and TensorFlow's own loader."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from resnet.network import cuda
from resnet.network.cuda import (
    LIBRARIES,
    OLDEST_DRIVER,
    driver,
    for_cuda,
    gpus_of_driver,
    hidden,
    obstacle,
    old_cudnn,
    silence,
    slices,
)
from tests.imports import ROOT

L4 = "GPU 0: NVIDIA L4 (UUID: GPU-1)"


MIG = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 1c.3g.20gb  Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)"""  # the form of NVIDIA's MIG User Guide


def put_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: str, version: str, **queries: str) -> None:
    """Makes a stand-in the only program on the path.

    Args:
        folder: for the program.
        monkeypatch: sets the path.
        gpus: what it lists.
        version: of the driver.
        queries: what it answers where its first argument has this word.
    """
    program = folder / "nvidia-smi"
    cases = {"--list-gpus": gpus, "--query-gpu=driver_version": version}
    cases |= {f"*{word}*": answer for word, answer in queries.items()}
    answers = "\n".join(f"{case}) echo '{answer}';;" for case, answer in cases.items())
    program.write_text(f"#!/bin/sh\ncase $1 in\n{answers}\nesac\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_gpus_and_driver_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = f"{L4}\nGPU 1: NVIDIA A100 (UUID: GPU-2)\n  MIG 1g.10gb Device 0: (UUID: MIG-3)"
    put_nvidia_smi(tmp_path, monkeypatch, both, "550.54.15")
    assert gpus_of_driver() == ["NVIDIA L4", "NVIDIA A100"]
    assert driver() == "550.54.15"
    put_nvidia_smi(tmp_path, monkeypatch, "No devices were found", "NVIDIA-SMI has failed")
    assert (gpus_of_driver(), driver()) == ([], None)
    put_nvidia_smi(tmp_path, monkeypatch, "GPU 0: \033[31mred (UUID: GPU-1)\nGPU 0 is lost", "²³")
    assert (gpus_of_driver(), driver(), silence()) == ([], None, None)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n", "utf-8")
    assert (gpus_of_driver(), driver(), silence()) == ([], None, "nvidia-smi fails with exit code 9")
    monkeypatch.setattr(cuda, "_SECONDS", 0.2)
    asked = tmp_path / "asked"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho >> {asked}\nexec /bin/sleep 60\n", "utf-8")
    assert (gpus_of_driver(), driver(), silence()) == ([], None, "nvidia-smi does not answer within 0 s")
    assert asked.read_text() == "\n"  # a driver that hangs is not waited for again and again
    monkeypatch.setattr(cuda, "_PAUSE_SECONDS", 0.0)
    gpus_of_driver()
    assert asked.read_text() == "\n\n"
    (tmp_path / "nvidia-smi").unlink()
    assert (gpus_of_driver(), driver(), silence()) == ([], None, None)


def test_slices_of_gpus_are_listed_below_their_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, MIG, "550.54.15")
    assert gpus_of_driver() == ["NVIDIA A100-SXM4-40GB"]
    assert slices() == ["3g.20gb", "1c.3g.20gb"]
    assert for_cuda() == ["MIG-c7384736-a75d-5afc-978f-d2f1294409fd", "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d"]
    put_nvidia_smi(tmp_path, monkeypatch, f"{L4}\n{MIG.replace('GPU 0', 'GPU 1')}\nGPU 2: NVIDIA L4 (UUID: GPU-3)", "550.54.15")
    assert [name[:6] for name in for_cuda()] == ["0", "MIG-c7", "MIG-a2", "2"]
    put_nvidia_smi(tmp_path, monkeypatch, L4, "550.54.15")
    assert slices() == []


@pytest.mark.parametrize(
    ("gpus", "modes", "in_the_way"),
    [(L4, "Enabled", True), (MIG, "Enabled", False), (L4, "[N/A]", False), (L4, "Enabled\nDisabled", False), (L4, "", False)],
)
def test_mig_without_a_slice_is_in_the_way(
    gpus: str, modes: str, in_the_way: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, gpus, "550.54.15", mig=modes)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda, "installed", lambda: True)
    sentence = "MIG is on and there are no slices: make one with `nvidia-smi mig -cgi` and `-cci`, or switch MIG off"
    assert obstacle() == (sentence if in_the_way else None)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(("number", "old"), [(90100, "9.1.0"), (90300, None), (92800, None)])
def test_a_cudnn_that_is_too_old_is_named(
    number: int, old: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / f"libcudnn{number}.so"  # a name of its own: a library that is loaded stays
    source = f"unsigned long cudnnGetVersion(void) {{ return {number}; }}".encode()
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, check=True)
    monkeypatch.setitem(LIBRARIES, "Cudnn", str(library))
    assert old_cudnn() == old


def test_a_cudnn_that_does_not_open_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "Cudnn", str(tmp_path / "none.so"))
    assert old_cudnn() is None


def test_the_oldest_cudnn_is_the_one_that_tensorflow_asks_for() -> None:
    (asked,) = (one for one in map(Requirement, requires("tensorflow") or []) if one.name == "nvidia-cudnn-cu12")
    lowest = next(one.version for one in asked.specifier if one.operator == ">=")
    assert tuple(map(int, lowest.split(".")))[:2] == cuda.OLDEST_CUDNN


@pytest.mark.parametrize(
    ("value", "hides"),
    [
        ("0", False),
        ("1,0", False),
        ("GPU-1", False),
        ("MIG-1/2", False),
        ("2", True),
        ("", True),
        ("-1,0", True),
        ("none", True),
    ],
)
def test_the_first_entry_decides_whether_gpus_are_hidden(value: str, hides: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert hidden(2) == (value if hides else None)


@pytest.mark.parametrize(
    ("hidden", "version", "installed", "expected"),
    [
        (None, "550.54.15", True, None),
        ("0", "525.60.13", True, None),
        ("", "550.54.15", True, "CUDA_VISIBLE_DEVICES is '', which hides all GPUs: unset it"),
        ("-1", "470.1", False, "CUDA_VISIBLE_DEVICES is '-1', which hides all GPUs: unset it"),
        (None, "525.60", True, None),
        (None, "525.59", True, "the driver is 525.59, and CUDA 12 needs 525.60.13 or later: update NVIDIA's driver"),
        (None, "525.60.11", True, "the driver is 525.60.11, and CUDA 12 needs 525.60.13 or later: update NVIDIA's driver"),
        (None, "550.54.15", False, "the CUDA libraries are not installed: run `make setup GPU=1`"),
    ],
)
def test_what_is_in_the_way_is_one_sentence(
    hidden: str | None,
    version: str,
    installed: bool,
    expected: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, L4, version)
    monkeypatch.setattr(cuda, "installed", lambda: installed)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert obstacle() == expected


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("opened", [True, False])
def test_tensorflow_opens_cusolver_from_its_wheel_if_it_was_opened_before(opened: bool, tmp_path: Path) -> None:
    folder = tmp_path / "nvidia" / "cusolver" / "lib"
    folder.mkdir(parents=True)
    library = folder / LIBRARIES["Cusolver"]
    subprocess.run(["gcc", "-shared", f"-Wl,-soname,{library.name}", "-x", "c", "-", "-o", library], input=b"", check=True)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from resnet.network.cuda import open_cusolver, unopened\n"
        f"{'open_cusolver()' if opened else ''}\nprint('libcusolver.so.11' in unopened())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(not opened)


def test_the_lock_has_all_that_tensorflow_asks_for_with_cuda_and_hashes() -> None:
    lock = (ROOT / "requirements-gpu.lock").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE))
    assert len(pinned) == len(re.findall(r"^[a-z]", lock, re.MULTILINE))
    wanted = [Requirement(text) for text in requires("tensorflow") or []]
    wanted = [one for one in wanted if one.marker and one.marker.evaluate({"extra": "and-cuda"})]
    assert {one.name for one in wanted} == set(pinned)
    assert [one for one in wanted if not one.specifier.contains(pinned[one.name])] == []


def test_the_guide_names_the_oldest_driver_and_the_locked_tensorflow() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    (locked,) = re.findall(r"(?m)^tensorflow==(\d+\.\d+)", (ROOT / "requirements.lock").read_text("utf-8"))
    assert f"TensorFlow {locked} needs a driver of version {'.'.join(map(str, OLDEST_DRIVER))} or later" in guide


@pytest.mark.parametrize(
    ("gpus", "by_hand", "installs"),
    [(L4, [], True), ("", [], False), (L4, ["GPU=0"], False), (L4, ["GPU=no"], False), ("", ["GPU=1"], True)],
)
def test_make_setup_installs_cuda_where_there_is_a_gpu(
    gpus: str, by_hand: list[str], installs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = shutil.which("make") or "make"
    path = os.environ["PATH"]
    put_nvidia_smi(tmp_path, monkeypatch, gpus, "550.54.15")
    environment = {**os.environ, "PATH": f"{tmp_path}:{path}"}
    environment.pop("GPU", None)
    commands = [make, "--dry-run", "--always-make", "setup", *by_hand]
    done = subprocess.run(commands, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ("-r requirements-gpu.lock" in done.stdout) == installs


def test_make_asks_the_driver_only_where_it_sets_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, path = shutil.which("make") or "make", os.environ["PATH"]
    put_nvidia_smi(tmp_path, monkeypatch, L4, "550.54.15")
    asked = tmp_path / "asked"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ntouch {asked}\n", "utf-8")
    for goal, expected in (("help", False), ("clean", False), ("setup", True)):
        environment = {**os.environ, "PATH": f"{tmp_path}:{path}"}
        environment.pop("GPU", None)
        subprocess.run([make, "--dry-run", goal], cwd=ROOT, env=environment, capture_output=True, check=True)
        assert asked.exists() == expected
