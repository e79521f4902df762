"""The benchmark for GPUs: its rows, its page, how it goes on after an interruption, and one row in truth on the processor."""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, gpu_repeats
from benchmarks.contenders import PEERS
from benchmarks.gpu_contenders import Ours, read_name
from benchmarks.gpu_machine import described
from benchmarks.gpu_page import page, wanted_and_found
from benchmarks.gpu_rows import ROWS, Row
from resnet.core.errors import UserError
from tests.imports import ROOT

CARD = {
    "card": "NVIDIA H100",
    "driver": "570.1",
    "tensorflow": "2.21.0",
    "cuda": "12.5",
    "cudnn": "9.28.0",
    "torch": "2.13.0",
    "torch_cuda": "13.0",
    "torch_cudnn": "9.19.0",
}
BY_NAME = {row.name: row for row in ROWS}


def figures(**rates: list[float]) -> dict[str, Any]:
    """A measured row; underscores of names are hyphens."""
    rounds = {
        name.replace("_", "-"): [{"images_per_second": one, "gpu_memory_mb": 5e3} for one in many]
        for name, many in rates.items()
    }
    return {"size": 224, "batch": 256, "machine": CARD, "rounds": rounds, "left_out": {}}


def cells(results: dict[str, Any], begin: str) -> list[str]:
    """The cells of the first line of the page's tables that begins so."""
    line = next(line for line in page(results).splitlines() if line.startswith(f"| {begin}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_contender_has_a_name_that_its_process_understands() -> None:
    for row in ROWS:
        for name in row.contenders if row.kind != "pipeline" else ():
            assert name.partition("-")[0] in PEERS or read_name(name)
    assert read_name("ours") == Ours()
    assert read_name("ours-float16-xla-free-product-fused") == Ours("float16", True, True, deterministic=False, fused=True)
    assert read_name("ours-plain-deterministic-convolution-fit-two") == Ours("auto", False, False, fit=True, devices=2)
    assert read_name("ours-fit-single-copied") == Ours(fit=True, single=True, copied=True)
    for name in ("ours-fast", "hours-xla", "ours-two", "ours-single", "ours-xla-copied"):
        with pytest.raises(ValueError, match=name):
            read_name(name)


def test_the_rows_are_those_that_were_asked_for() -> None:
    """224 px at batch 64 to 512, sixteen kernels, 32 and 128 px, waiting, calls, inference, equal bytes, two devices."""
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS)
    assert {f"training-224-{batch}" for batch in (64, 128, 256, 512)} | {"training-128-256", "training-32-64"} <= names
    kernels = {read_name(name) for row in ROWS if row.name.startswith("kernels") for name in row.contenders if "ours" in name}
    assert len(kernels) == 16
    assert {"waiting", "calls", "kept", "inference", "repeats", "repeats-xla", "devices", "digits", "fused-float16"} <= names
    for row in ROWS:
        if row.kind == "training" and row.name.startswith(("training", "kernels", "peers")):
            assert any(name.startswith("torch") for name in row.contenders)


def test_the_page_of_no_results_is_the_committed_one_or_figures_are() -> None:
    results = gpu.read(gpu.RESULTS)
    assert gpu.RESULTS.with_suffix(".md").read_text("utf-8") == page(results)
    empty = page({})
    assert empty.count("Not measured yet.") == len(ROWS)
    assert [found for _, _, found in wanted_and_found({})] == [""] * 9
    assert "Card, driver and versions: not measured yet." in empty


def test_ratios_are_to_the_best_peer_and_within_a_round() -> None:
    rows = {"training-224-256": figures(ours=[10, 30, 20], ours_xla=[12, 30, 22], torch_a=[5, 20, 10], torch_b=[4, 4, 40])}
    line = cells(rows, "ours ")
    assert line == ["ours", "20", "10 to 30", "2.00", "2.00 1.50 2.00", "5.0"]
    assert cells(rows, "training at 224 px") == [
        "training at 224 px, times the best PyTorch",
        "at least 1.0",
        "batch 256: 2.20 (ours-xla against torch-a)",
    ]
    assert cells(rows, "share of waiting")[2] == "not measured yet"


def test_what_is_not_deterministic_is_not_held_against_the_peers() -> None:
    rows = {"training-224-64": figures(ours=[10], ours_free=[30], torch_a=[20])}
    assert "batch 64: 0.50 (ours against torch-a)" in page(rows)


def test_what_was_found_is_told() -> None:
    xla = {f"ours-bfloat16-xla-{order}-convolution": [rate] for order, rate in (("deterministic", 9.0), ("free", 10.0))}
    rows = {
        "waiting": figures(ours=[100, 100], ours_fit=[97, 95]),
        "kernels-bfloat16-convolution": figures(**xla),
        "devices": figures(ours_fit=[10], ours_fit_two=[8]),
        "calls": figures(ours_fit=[30], ours_fit_single=[20]),
        "kept": figures(ours_fit=[11], ours_fit_copied=[10]),
        "repeats": {"size": 224, "batch": 64, "machine": CARD, "hashes": {"whole": ["a", "a"], "resumed": ["a", "b"]}},
        "digits": {"size": 32, "batch": 64, "machine": CARD, "rounds": {"dvc repro": [{"seconds": 41.0}, {"seconds": 35.0}]}},
    }
    assert [found for _, _, found in wanted_and_found(rows)] == [
        "",
        "4.0%",
        "0.90",
        "2 of 2 and 1 of 2 equal",
        "",
        "38 s",
        "1.50",
        "1.10",
        "0.80",
    ]
    assert (
        "NVIDIA H100, driver 570.1, TensorFlow 2.21.0 with CUDA 12.5 and cuDNN 9.28.0, PyTorch 2.13.0 with CUDA 13.0 and "
        in (page(rows))
    )


def test_rows_of_two_cards_name_their_card() -> None:
    other = CARD | {"card": "NVIDIA H200"}
    rows = {"waiting": figures(ours=[1], ours_fit=[1]), "devices": figures(ours_fit=[1], ours_fit_two=[1]) | {"machine": other}}
    text = page(rows)
    assert text.count(described(CARD)) == text.count(described(other)) == 2


def test_a_failure_and_a_contender_that_is_left_out_are_on_the_page() -> None:
    rows = {
        "waiting": {"size": 224, "batch": 256, "machine": CARD, "failed": "ours ended in round 2"},
        "devices": figures(ours=[1]) | {"left_out": {"ours-fit-two": "out of memory"}},
    }
    assert "Failed: ours ended in round 2" in page(rows)
    assert "ours-fit-two is left out: out of memory" in page(rows)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the rows that were measured, in place of measuring them."""
    names: list[str] = []

    def measure(row: Row, options: object, held: object, save: Callable[[dict[str, Any]], bool]) -> None:
        names.append(row.name)
        save(figures(ours=[1]))

    monkeypatch.setattr(gpu, "measure", measure)
    monkeypatch.setattr(gpu, "look", lambda *_: CARD)
    return names


def options(path: Path, *more: str) -> argparse.Namespace:
    return gpu.parse(["--json", str(path), *more])


def test_an_interrupted_run_goes_on_with_the_rows_that_are_missing(tmp_path: Path, measured: list[str]) -> None:
    path = tmp_path / "found.json"
    gpu.write(path, {"waiting": figures(ours=[7])})
    rows = [BY_NAME[name] for name in ("training-224-256", "waiting", "devices")]
    assert gpu.run(options(path), rows) == 0
    assert measured == ["training-224-256", "devices"]
    assert gpu.read(path)["waiting"]["rounds"]["ours"][0]["images_per_second"] == 7
    assert set(gpu.read(path)) == {row.name for row in rows}
    assert path.with_suffix(".md").read_text("utf-8") == page(gpu.read(path))
    assert gpu.run(options(path, "--again"), rows[:1]) == 0
    assert measured[2:] == ["training-224-256"]


def test_no_row_is_started_that_might_end_too_late() -> None:
    times = iter([0.0, 10.0, 210.0, 210.0, 210.0, 260.0, 350.0])  # the first row takes 200 s, the second one 50 s
    clock = gpu.Clock(9, lambda: next(times))
    clock.begin()
    clock.end()
    assert clock.allows()
    clock.begin()
    clock.end()
    assert not clock.allows()  # at 350 s: 200 s more would be 550 s of 540 s
    assert gpu.Clock(0, lambda: 0.0).allows()


def test_rows_without_time_are_named(tmp_path: Path, measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [BY_NAME[name] for name in ("waiting", "devices")]
    assert gpu.run(options(tmp_path / "found.json", "--minutes", "1e-9"), rows) == 0
    assert measured == []
    assert "no time is left for waiting, devices: run the same command again" in capsys.readouterr().out


def test_hashes_are_added_until_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[bool, int | None]] = []

    def run(command: list[str], kill_at: int | None = None) -> str:
        calls.append(("--checkpoints" in command, kill_at))
        return "h"

    monkeypatch.setattr(gpu_repeats, "_run", run)
    found = {"whole": ["h", "h"], "resumed": ["h"]}
    trial = options(tmp_path / "found.json", "--device", "cpu", "--size", "8", "--batch", "2", "--runs", "2")
    saved: list[int] = []

    def save(hashes: dict[str, list[str]]) -> bool:
        saved.append(sum(map(len, hashes.values())))
        return True

    gpu_repeats.extend(found, "ours", trial, save)
    assert found == {"whole": ["h", "h"], "resumed": ["h", "h"]}
    assert saved == [4]
    assert calls[0][0]
    assert 0 < (calls[0][1] or 0) < gpu_repeats.STEPS
    assert calls[1:] == [(True, None)]  # no more than the resumed run that was missing
    assert gpu.is_done(BY_NAME["repeats"], {"hashes": found}, 2)
    assert not gpu.is_done(BY_NAME["repeats"], {"hashes": found}, 20)


def test_a_call_without_time_ends_after_the_runs_that_have_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_repeats, "_run", lambda *_: "h")
    trial = options(tmp_path / "found.json", "--device", "cpu", "--size", "8", "--batch", "2", "--parallel", "1")
    found: dict[str, list[str]] = {"whole": [], "resumed": []}
    gpu_repeats.extend(found, "ours", trial, lambda _: False)
    assert 1 <= sum(map(len, found.values())) < 40


def test_a_run_that_fails_ends_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> str:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(gpu_repeats, "_run", fail)
    trial = options(tmp_path / "found.json", "--device", "cpu", "--size", "8", "--batch", "2")
    saved: list[dict[str, Any]] = []

    def save(result: dict[str, Any]) -> bool:
        saved.append(result)
        return True

    gpu.measure(BY_NAME["repeats"], trial, None, save)
    assert [one["failed"] for one in saved] == ["no kernel image"]


def test_without_a_gpu_it_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu", "--json", str(tmp_path / "found.json")])
    assert gpu.main() == 1
    assert capsys.readouterr().err == (
        "benchmarks.gpu: a GPU is needed, but there is none to measure, because NVIDIA's driver lists none; `--device cpu` "
        "tries the commands on the processor.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "waiting", "fast"], r"^--rows names fast, but the rows are training-224-256, "),
        (["--size", "32"], r"^results-gpu\.json is for the rows as they are: name another file by --json "),
        (["--torch", "/nowhere/python"], r"^--torch is /nowhere/python, which is no program"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        gpu.parse(arguments)


def test_a_damaged_file_of_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text("[]", "utf-8")
    with pytest.raises(UserError, match=r"found\.json is no file of results"):
        gpu.read(path)


def test_a_row_is_measured_on_the_processor(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    trial = ["--device", "cpu", "--size", "32", "--batch", "2", "--network", "tiny", "--steps", "1", "--json", str(path)]
    trial += ["--rows", "training-224-256", "--contenders", "ours-float32", "--rounds", "1", "--seconds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *trial], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(path.read_text("utf-8"))["rows"]["training-224-256"]
    assert (row["size"], row["batch"], row["left_out"]) == (32, 2, {})
    assert row["rounds"]["ours-float32"][0]["images_per_second"] > 0
    assert "## Training, 32 px, batch 2" in path.with_suffix(".md").read_text("utf-8")


def test_a_killed_run_ends_with_the_bytes_of_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_repeats, "STEPS", 12)  # of which ten are before the first checkpoint
    monkeypatch.setattr(random.Random, "randrange", lambda *_: 11)
    trial = ["--device", "cpu", "--size", "8", "--batch", "2", "--network", "tiny", "--runs", "1"]
    found: dict[str, list[str]] = {"whole": [], "resumed": []}
    gpu_repeats.extend(found, "ours-float32", options(tmp_path / "found.json", *trial), lambda _: True)
    assert found["whole"] == found["resumed"]
    assert len(found["whole"][0]) == 64
