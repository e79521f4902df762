"""The benchmarks run, and their arithmetic is right; no measured figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import step_profile
from benchmarks.contenders import best_peer, quiet_rounds, summarise, table
from benchmarks.scaling import slope
from tests.imports import ROOT

TINY = ["--size", "32", "--batch", "2", "--rounds", "1"]
NETWORK = ["--network", "tiny"]


@pytest.mark.parametrize(
    ("module", "options", "contenders"),
    [
        ("training", [*TINY, *NETWORK, "--seconds", "0", "--peers", "ours-bare"], {"ours", "ours-bare"}),
        ("inference", [*TINY, "--seconds", "0", "--peers"], {"ours"}),
        ("input", [*TINY, *NETWORK], {"ours"}),
        ("checkpoint_cost", [*TINY, *NETWORK, "--seconds", "0"], {"ours"}),
    ],
)
def test_a_benchmark_runs(module: str, options: list[str], contenders: set[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{module}", *options, "--json", str(tmp_path / "figures.json")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert written["report"].strip() in result.stdout
    assert {row["contender"] for row in written["parts"][0]["rows"]} == contenders
    assert all(answer[0] for answer in written["parts"][0]["rounds"].values())


def test_ratios_are_taken_within_a_round() -> None:
    rounds = {"ours": [{"rate": 10.0}, {"rate": 30.0}, {"rate": 20.0}], "peer": [{"rate": 5.0}, {"rate": 10.0}, {"rate": 20.0}]}
    ours, peer = summarise(rounds, "rate", "ours")
    assert peer["ratios"] == [2.0, 3.0, 1.0]
    assert (peer["ratio"], peer["median"], peer["least"], peer["most"]) == (2.0, 10.0, 5.0, 20.0)
    assert ours["ratios"] == [1.0, 1.0, 1.0]
    assert "| peer | rate | 10 | 5 to 20 | 2.00 | 2.00 3.00 1.00 |" in table("Title", "command", [peer], "ours")


def test_the_best_peer_is_the_fastest_contender_that_is_not_ours() -> None:
    rates = {
        "ours": [10.0, 30.0],
        "ours-bare": [90.0, 90.0],
        "torch-bf16": [5.0, 10.0],
        "keras": [4.0, 4.0],
        "matmul-bf16": [99.0, 99.0],
    }
    rounds = {name: [{"images_per_second": one, "peak_memory_mb": 1e4} for one in values] for name, values in rates.items()}
    rows = [row for figure in ("images_per_second", "peak_memory_mb") for row in summarise(rounds, figure, "ours")]

    sentence = "Best peer, images per second: torch-bf16; ours / best peer 2.50 (2.00 to 3.00).\n"

    assert best_peer(rows, "ours") == sentence
    assert table("Title", "command", rows, "ours").endswith(f" |\n\n{sentence}")
    assert best_peer(rows[:1], "ours") == ""


def rounds_at(rates: list[float], wanted: int) -> list[int]:
    """The numbers of the kept rounds, on a machine with these rates before the first and after each round."""
    left = iter(rates)
    kept = quiet_rounds(lambda number: {"ours": {"round": number}}, lambda: next(left), wanted)
    return [int(answers["ours"]["round"]) for answers in kept]


def test_a_round_on_a_busy_machine_is_repeated() -> None:
    assert rounds_at([10, 10, 8, 9], 3) == [1, 2, 3]
    assert rounds_at([10, 6.9, 9, 10, 10, 10], 3) == [3, 4, 5]  # busy after the first, and so before the second


def test_rounds_before_the_best_rate_are_judged_by_it() -> None:
    assert rounds_at([5, 5, 10, 10, 10], 2) == [3, 4]


def test_a_machine_that_stays_busy_ends_with_the_best_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert rounds_at([10, *[5] * 9, 6, 6, 5], 2) == [1, 11]
    assert "only 0 of 12 rounds were undisturbed: the machine is busy" in capsys.readouterr().err


def test_the_scaling_benchmark_has_a_row_for_each_setting(tmp_path: Path) -> None:
    alone = ["--sizes", "64", "--batches", "32", "--images", "32", "--seconds", "0", *NETWORK]
    options = [*alone, "--json", str(tmp_path / "figures.json")]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "figures.json").read_text("utf-8"))["report"]
    assert [line.split("|")[1].strip() for line in report.splitlines() if line.startswith("| ")] == [
        *("px", "64"),
        *("images of 32 px", "32"),
    ]


def test_the_slope_is_the_exponent_between_smallest_and_largest() -> None:
    assert slope({8: 1.0, 16: 7.0, 32: 16.0}) == pytest.approx(2.0)
    assert slope({8: 1.0}) is None


@pytest.mark.parametrize("kind", ["training", "inference"])
def test_a_profile_has_every_normalisation_or_convolution_of_the_network(kind: str, tmp_path: Path) -> None:
    network = ["--network", "resnet18", "--size", "32", "--batch", "8"]
    options = [kind, *network, "--steps", "2", "--json", str(tmp_path / "figures.json")]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.step_profile", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    part = json.loads((tmp_path / "figures.json").read_text("utf-8"))["parts"][0]
    # With the fused kernels or without, and with "PadWith" before it or without.
    counted = {"training": ("FusedBatchNormV3", "ResnetNorm", "ResnetNormAdd"), "inference": ("FusedConv2D",)}[kind]
    expected = 1 + 8 * 2 + 3  # the stem, two in each of eight blocks, and three shortcuts to a larger width
    assert sum(row["calls"] for row in part["rows"] if row["operation"].endswith(counted)) == expected
    assert sum(row["ms"] for row in part["rows"]) > 0.3 * part["rounds"]["step"][0]["ms"]


def test_operations_are_summed_over_calls_and_averaged_over_steps() -> None:
    events = [("Conv2D", 30.0), ("Add", 0.1), ("Conv2D", 50.0), ("Mul", 10.0)]
    text, rows = step_profile.table("Title", "command", 50.0, events, 2)
    assert rows == [
        {"operation": "Conv2D", "calls": 1.0, "ms": 40.0},
        {"operation": "Mul", "calls": 0.5, "ms": 5.0},
        {"operation": "Add", "calls": 0.5, "ms": 0.05},
    ]
    assert "| Conv2D | 1 | 40.0 | 80.0% |" in text
    assert "| the rest | 0 | 0.1 | 0.1% |" in text
