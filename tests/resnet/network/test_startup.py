"""Which precision the machine is given, and what the start leaves out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet.network.precision import choose_precision, fastest_precision
from tests.imports import ROOT


@pytest.mark.parametrize(
    ("capabilities", "flags", "precision", "reason"),
    [
        ([], {"amx_bf16", "avx512_bf16"}, "bfloat16", "the processor has AMX-BF16"),
        ([], {"avx512_bf16", "avx2"}, "bfloat16", "the processor has AVX512-BF16"),
        ([], {"avx2", "avx512f"}, "float32", "neither AMX-BF16 nor AVX512-BF16"),
        ([(8, 0)], set(), "bfloat16", "compute capability 8.0"),
        ([(7, 5)], {"amx_bf16"}, "float16", "compute capability 7.5"),
        ([(6, 1)], {"amx_bf16"}, "float32", "compute capability 6.1"),
        ([(9, 0), (7, 0)], set(), "float16", "compute capability 7.0"),
    ],
)
def test_auto_takes_what_the_hardware_computes_fastest(
    capabilities: list[tuple[int, int]], flags: set[str], precision: str, reason: str
) -> None:
    chosen, why = fastest_precision(capabilities, flags)
    assert chosen == precision
    assert reason in why


def test_a_precision_that_is_named_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_precision("float16") == "float16"
    assert capsys.readouterr().out == "precision: float16, as train.precision says\n"


def test_tensorflow_starts_without_packages_that_it_does_not_need_and_they_can_be_imported_after() -> None:
    program = (
        "import sys; from resnet.network.startup import start_tensorflow; start_tensorflow()\n"
        "print([name for name in ('sklearn', 'pandas', 'matplotlib') if name in sys.modules])\n"
        "import keras, matplotlib.pyplot, pandas, sklearn.metrics; print(keras.backend.backend(), pandas.Series([1]).sum())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", "tensorflow 1"]


def test_the_garbage_collector_is_at_work_again_after_the_start() -> None:
    program = (
        "import gc; from resnet.network.startup import start_tensorflow; before = gc.get_freeze_count(); start_tensorflow()\n"
        "print(before, gc.get_freeze_count() > 100_000, gc.isenabled())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0", "True", "True"]


def test_huge_pages_are_asked_for_once_and_the_arguments_stay() -> None:
    program = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "from resnet.network.huge_pages import use_huge_pages; use_huge_pages()\n"
        "print(os.environ.get('GLIBC_TUNABLES'), sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "an argument"]
    for setting in ("glibc.malloc.check=0", None):
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        environment |= {"GLIBC_TUNABLES": setting} if setting else {}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        asked = "glibc.malloc.hugetlb=1" if pages.exists() and "[madvise]" in pages.read_text("utf-8") else None
        assert result.stdout.strip() == f"{setting or asked} ['an argument']"
