"""Figures in the documents that the code decides."""

import json
import re
from typing import Any

import pytest

from flows.dvc_program import GRACE_SECONDS
from flows.ending import LIMIT
from flows.serve import _WATCH_SECONDS
from resnet.images.decoding import MAX_SIDE
from resnet.images.outcomes import MAX_FILE_BYTES
from resnet.training import checkpoint_files
from tasks.stage import signals
from tasks.stage.graph import read_graph
from tasks.stage.params import load_params
from tasks.training.resume import checkpoint_seconds
from tasks.training.runs import FINISHED_KEPT
from tasks.training.seen import DAYS_KEPT
from tests.imports import ROOT

GRAPH = read_graph(ROOT / "dvc.yaml")


def words(page: str) -> str:
    return " ".join((ROOT / page).read_text("utf-8").split())


def max_pixels() -> int:
    pixels: int = load_params(ROOT / "params.yaml", GRAPH).sections["ingest"].model_dump()["max_pixels"]
    return pixels


def intervals() -> str:
    """The intervals between checkpoints before the longest one, which double."""
    seconds = [checkpoint_files.FIRST_SECONDS]
    while 2 * seconds[-1] < checkpoint_seconds():
        seconds.append(2 * seconds[-1])
    return ", ".join(f"{one:.0f}" for one in seconds)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("docs/design.md", f"The six stages list {sum(len(entry['deps']) for entry in GRAPH.values())} dependencies."),
        ("CHANGELOG.md", f"`dvc.yaml` lists {sum(len(entry['deps']) for entry in GRAPH.values())} dependencies."),
        ("docs/design.md", f"The intervals are {intervals()} and then {checkpoint_seconds():.0f} s."),
        ("docs/operations.md", f"{checkpoint_files.FIRST_SECONDS:.0f} s at first, later {checkpoint_seconds():.0f} s"),
        ("docs/operations.md", f"default: {intervals()}, {checkpoint_seconds():.0f} s"),
        ("CHANGELOG.md", f"The first checkpoint is written after {checkpoint_files.FIRST_SECONDS:.0f} s"),
        ("docs/design.md", f"The last {checkpoint_files.KEPT} are kept."),
        ("docs/operations.md", f"each run keeps its last {checkpoint_files.KEPT}."),
        ("docs/design.md", f"The last {FINISHED_KEPT} finished runs are kept, and unfinished ones for {DAYS_KEPT} days."),
        ("docs/operations.md", f"The last {FINISHED_KEPT} finished runs are kept, and unfinished ones for {DAYS_KEPT} days"),
        ("docs/operations.md", f"training removes what did not change for {DAYS_KEPT} days"),
        ("docs/design.md", f"polls the parent process every {signals._POLL_SECONDS:g} s"),
        ("docs/design.md", f"gets SIGTERM, then {GRACE_SECONDS:.0f} s to save its work, then SIGKILL"),
        ("docs/operations.md", f"A cancelled run has {GRACE_SECONDS:.0f} s to save its work."),
        ("docs/design.md", f"within {LIMIT:.0f} s of a signal"),
        ("docs/operations.md", f"looks for lost runs when it starts and every {_WATCH_SECONDS:.0f} s"),
        (
            "docs/design.md",
            f"{MAX_FILE_BYTES // 2**20} MiB, {max_pixels():,} pixels (`ingest.max_pixels`) and {MAX_SIDE:,} pixels",
        ),
        ("SECURITY.md", f"(`ingest.max_pixels`, {MAX_FILE_BYTES // 2**20} MiB, {MAX_SIDE:,} pixels on a side)"),
    ],
)
def test_figures_are_those_of_the_code(page: str, sentence: str) -> None:
    assert sentence in words(page)


def test_make_repro_checks_as_much_of_the_cache_as_the_documents_say() -> None:
    (limit,) = re.findall(r"--at-most (\d+)", (ROOT / "Makefile").read_text("utf-8"))
    assert f"`make repro`: the cache, up to {limit} GB" in words("docs/design.md")
    assert f"`make repro` checks the cache first, up to {limit} GB." in words("docs/operations.md")


def test_the_time_of_nothing_to_do_is_that_of_the_benchmark() -> None:
    runs: Any = json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))["runs"]
    ours, empty = runs["benchmarks.pipeline"]["parts"][1]["rows"]
    expected = f"takes {ours['median']:.2f} s, {empty['ratio']:.1f} times as long as in a project of two empty stages"
    assert expected in words("docs/design.md")
