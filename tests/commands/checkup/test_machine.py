"""What the doctor finds about packages and TensorFlow."""

import pytest

from commands.checkup import machine
from commands.checkup.machine import check_kernels, check_packages, check_processor, check_tensorflow
from resnet.native.library import DAMAGED, NOT_COMPILED

PROJECT = {
    "name": "train-resnet",
    "requires-python": ">=3.11,<3.14",
    "dependencies": ["numpy>=2", "pytest<1", "no-such-package>=3", "never; python_version < '3'"],
    "optional-dependencies": {"all": ["train-resnet[x]", "numpy"], "x": ["numpy>=99"]},
}


def test_packages_are_compared_with_the_requirements() -> None:
    python, packages, extra = check_packages(PROJECT, "3.10.4")
    assert (python.wrong, packages.wrong, extra.wrong) == (True, True, False)
    assert python.remedy == "make clean && make setup PYTHON=python3.12"
    assert f"pytest is {pytest.__version__} and should be <1; no-such-package is not installed" in packages.found
    assert "numpy is" not in packages.found
    assert (extra.subject, extra.remedy) == ("extra x", "pip install -e '.[x]', if you need it")
    fine, *_ = check_packages(PROJECT, "3.12.1")
    assert not fine.wrong


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise ImportError('libcudart is gone')", "ImportError: libcudart is gone"),
        ("import os; os.kill(os.getpid(), 4)", "ended by SIGILL; was it built for this processor?"),
        ("import time; time.sleep(60)", "not within 3 s"),
    ],
)
def test_tensorflow_may_be_broken_in_any_way(program: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_START", program)
    monkeypatch.setattr(machine, "_SECONDS", 3.0)
    (found,) = check_tensorflow()
    assert (found.wrong, found.found) == (True, f"does not start: {why}")


def test_a_processor_without_avx_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: {"sse4_2"})
    assert next(check_processor()).wrong
    monkeypatch.setattr(machine, "_cpu_flags", lambda: {"avx", "avx2", "amx_bf16"})
    found = next(check_processor())
    assert not found.wrong
    assert found.found.endswith("; AVX2, AMX-BF16")


@pytest.mark.parametrize(
    ("why", "found", "remedy"),
    [
        (None, "uses the fused kernels", ""),
        (NOT_COMPILED, "slower: they have not been compiled", "install g++, then make setup"),
        (DAMAGED, "slower: their compiled file is damaged", "install g++, then make setup"),
        ("this processor has no AVX2", "slower: this processor has no AVX2", ""),
    ],
)
def test_missing_kernels_are_a_finding_and_not_a_fault(
    monkeypatch: pytest.MonkeyPatch, why: str | None, found: str, remedy: str
) -> None:
    monkeypatch.setattr(machine, "unavailable", lambda: why)
    (finding,) = check_kernels()
    assert found in finding.found
    assert (finding.wrong, finding.remedy) == (False, remedy)
