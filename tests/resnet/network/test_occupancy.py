"""GPUs that others use, with a stand-in for nvidia-smi."""

import os
from pathlib import Path

import pytest

from resnet.network.occupancy import Gpu, free_bytes, gpus, usable, used_by_others
from tests.resnet.network.test_cuda import L4, put_nvidia_smi

TWO = """0, GPU-aa11, NVIDIA L4, 1, 23034, Default, [N/A]
1, GPU-bb22, NVIDIA L4, 12595, 23034, Default, Disabled"""


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, table: str, running: str = "") -> None:
    put_nvidia_smi(folder, monkeypatch, L4, "550.54.15", memory=table, apps=running)


def test_memory_is_that_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, TWO)
    assert gpus() == [
        Gpu(0, "GPU-aa11", "NVIDIA L4", 1, 23034, "Default", False),
        Gpu(1, "GPU-bb22", "NVIDIA L4", 12595, 23034, "Default", False),
    ]


@pytest.mark.parametrize(
    "table",
    [
        "",
        "0, GPU-aa11, NVIDIA L4, [N/A], [N/A], Default, Enabled",
        "No devices were found",
        'Field "mig.mode.current" is not a valid field to query.',
        "0, GPU-aa11, NVIDIA L4, 1, 0, Default, [N/A]",
        "0, GPU-aa11, \033[31m, 1, 9, Default, [N/A]",
    ],
)
def test_what_is_no_memory_is_left_out(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, table)
    assert gpus() == []
    assert used_by_others() == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, [0, 1]), ("1", [1]), ("1,0", [1, 0]), ("GPU-bb", [1]), ("0,7,1", [0]), ("", []), ("-1", []), ("GPU-", [])],
)
def test_only_visible_gpus_are_usable(
    value: str | None, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, monkeypatch, TWO)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert [gpu.index for gpu in usable()] == expected


def test_slices_are_not_judged_by_the_memory_of_the_whole_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, "0, GPU-aa11, NVIDIA A100, 39000, 40960, Default, Enabled")
    assert (len(gpus()), usable(), used_by_others()) == (1, [], [])


@pytest.mark.parametrize(
    ("table", "visible", "devices", "expected"),
    [
        (TWO, None, 1, 23033),
        (TWO, None, 2, 23034 - 12595),
        (TWO, "1", 1, 23034 - 12595),
        (TWO, "1", 2, None),  # only one of two is known
        (TWO, "MIG-1234", 1, None),
        ("", None, 1, None),
        (TWO.replace("Disabled", "Enabled"), None, 1, None),  # CUDA may choose the slice
        (TWO.replace("Disabled", "Enabled"), "0", 1, 23033),
    ],
)
def test_the_free_memory_is_that_of_the_fullest_gpu(
    table: str,
    visible: str | None,
    devices: int,
    expected: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(tmp_path, monkeypatch, table)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert free_bytes(devices) == (None if expected is None else expected * 2**20)


def test_a_gpu_that_others_use_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, TWO, "GPU-bb22, 4242")
    assert used_by_others() == []  # training takes the first one
    assert used_by_others(2) == [
        "another process uses NVIDIA L4 (GPU 1) and 12.3 of its 22.5 GiB: training may be slower or find too little memory; "
        "CUDA_VISIBLE_DEVICES chooses another GPU"
    ]


@pytest.mark.parametrize(
    ("used", "running", "who"),
    [
        (1, "", ""),
        (2303, "", ""),
        (2304, "", "others use"),  # in a container the driver lists no processes
        (900, "GPU-aa11, OURS", ""),  # a name for our process: all workers of pytest must collect the same names
        (900, "GPU-aa11, 999999999", "another process uses"),
        (900, "GPU-aa11, 999999998\nGPU-aa11, 999999999", "2 other processes use"),
        (900, "GPU-bb22, 999999999", ""),
        (900, "[Insufficient Permissions]", ""),
    ],
)
def test_a_process_or_much_memory_counts(
    used: int, running: str, who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(
        tmp_path,
        monkeypatch,
        f"0, GPU-aa11, NVIDIA L4, {used}, 23034, Default, [N/A]",
        running.replace("OURS", str(os.getpid())),
    )
    found = used_by_others()
    assert [one.partition(" NVIDIA")[0] for one in found] == ([who] if who else [])


def test_a_gpu_in_exclusive_mode_lets_nobody_else_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, "0, GPU-aa11, NVIDIA L4, 512, 23034, Exclusive_Process, [N/A]", "GPU-aa11, 999999999")
    assert used_by_others() == [
        "another process uses NVIDIA L4 (GPU 0) and 0.5 of its 22.5 GiB, and its compute mode is Exclusive_Process, which lets "
        "nobody else in: wait for the end of that process"
    ]
