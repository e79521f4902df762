"""`benchmarks/results-gpu.md` from the figures of `benchmarks.gpu`: what was wanted, what was found, and every row."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.contenders import PEERS, Rounds, summarise
from benchmarks.gpu_machine import described
from benchmarks.gpu_rows import CALLS, DEVICES, DIGITS, KEPT, ROWS, WAITING, Row

NOT_YET = "not measured yet"
Results = Mapping[str, Mapping[str, Any]]  # of the rows that were measured, by name

HEAD = """# Results on a GPU

`make bench-gpu` measures the rows that are missing and writes this page. Contenders take turns, each in a process of its own;
figures are medians over the rounds, and ratios are taken within a round. `benchmarks/gpu_contenders.py` explains their names.
"""


def page(results: Results) -> str:
    """The page; a row without figures says so."""
    machines = list(dict.fromkeys(described(one["machine"]) for one in results.values()))
    parts = [HEAD, "\n".join(machines) or f"Card, driver and versions: {NOT_YET}.", "", "## What was wanted", ""]
    parts += ["| what | wanted | found |", "|---|---|---|"]
    parts += [f"| {what} | {wanted} | {found or NOT_YET} |" for what, wanted, found in wanted_and_found(results)]
    for row in ROWS:
        parts += ["", *_section(row, results.get(row.name), several=len(machines) > 1)]
    return "\n".join(parts) + "\n"


def wanted_and_found(results: Results) -> Iterator[tuple[str, str, str]]:
    """What the project wants to reach, the least figure for it, and what was found; empty if it was not measured."""
    yield "training at 224 px, times the best PyTorch", "at least 1.0", "; ".join(_against_peers(results))
    waiting = ratio(results, WAITING.name, "ours-fit", "ours")
    yield "share of waiting for input", "under 5 %", "" if waiting is None else f"{max(0.0, 1 - waiting):.1%}"
    name = "kernels-bfloat16-convolution"
    cost = ratio(results, name, "ours-bfloat16-xla-deterministic-convolution", "ours-bfloat16-xla-free-convolution")
    yield "rate of XLA with determinism, times that without", "at least 0.9", "" if cost is None else f"{cost:.2f}"
    for row in ROWS:
        if row.kind == "repeats":
            yield (
                f"{row.title[0].lower()}{row.title[1:]}: runs, and runs after SIGKILL",
                "20 and 20 equal",
                _equal(results.get(row.name)),
            )
    seconds = _median(_rounds(results, DIGITS.name), DIGITS.contenders[0], "seconds")
    yield "`dvc repro` of the default digits", "under 40 s", "" if seconds is None else f"{seconds:.0f} s"
    several = ratio(results, CALLS.name, "ours-fit", "ours-fit-single")
    yield (
        "rate of several steps in a call, times that of single ones",
        "at least 1.0",
        "" if several is None else f"{several:.2f}",
    )
    kept = ratio(results, KEPT.name, "ours-fit", "ours-fit-copied")
    yield "rate with images that stay on the GPU, times that of copies", "at least 1.0", "" if kept is None else f"{kept:.2f}"
    two = ratio(results, DEVICES.name, "ours-fit-two", "ours-fit")
    yield "rate of two logical devices, times that of one", "overhead only", "" if two is None else f"{two:.2f}"


def ratio(results: Results, row: str, one: str, other: str) -> float | None:
    """The median over the rounds of the rate of one contender, divided by that of another; None if it is not known."""
    rounds = _rounds(results, row)
    if one not in rounds or other not in rounds:
        return None
    pairs = zip(rounds[one], rounds[other], strict=True)
    return statistics.median(ours["images_per_second"] / theirs["images_per_second"] for ours, theirs in pairs)


def fastest(rounds: Rounds, *, peers: bool) -> str | None:
    """The fastest peer, or the fastest of ours with op determinism; None if there is none."""
    names = [name for name in rounds if (name.partition("-")[0] in PEERS) == peers and "free" not in name.split("-")]
    return max(names, key=lambda name: _median(rounds, name, "images_per_second") or 0.0, default=None)


def _against_peers(results: Results) -> Iterator[str]:
    rows = [row for row in ROWS if row.kind == "training" and row.name.startswith("training-224-")]
    for row in sorted(rows, key=lambda row: row.batch):
        rounds = _rounds(results, row.name)
        ours, peer = fastest(rounds, peers=False), fastest(rounds, peers=True)
        if ours and peer:
            yield f"batch {row.batch}: {ratio(results, row.name, ours, peer):.2f} ({ours} against {peer})"


def _equal(result: Mapping[str, Any] | None) -> str:
    if not result or not result.get("hashes", {}).get("whole"):
        return ""
    whole, resumed = result["hashes"]["whole"], result["hashes"]["resumed"]
    return f"{whole.count(whole[0])} of {len(whole)} and {resumed.count(whole[0])} of {len(resumed)} equal"


def _rounds(results: Results, row: str) -> Rounds:
    rounds: Rounds = results.get(row, {}).get("rounds", {})
    return rounds


def _median(rounds: Rounds, name: str, figure: str) -> float | None:
    values = [answer[figure] for answer in rounds.get(name, []) if figure in answer]
    return statistics.median(values) if values else None


def _section(row: Row, result: Mapping[str, Any] | None, *, several: bool) -> Iterator[str]:
    size, batch = (result or {}).get("size", row.size), (result or {}).get("batch", row.batch)
    yield f"## {row.title}, {size} px, batch {batch}" if row.kind != "pipeline" else f"## {row.title}"
    yield ""
    yield f"    python -m benchmarks.gpu --rows {row.name}"
    yield ""
    if row.note:
        yield from (row.note, "")
    if result is None:
        yield f"{NOT_YET.capitalize()}."
        return
    if several:
        yield from (described(result["machine"]), "")
    if result.get("failed"):
        yield f"Failed: {result['failed']}"
    elif row.kind == "repeats":
        yield f"{_equal(result)}; SHA-256 {', '.join(sorted({one[:16] for many in result['hashes'].values() for one in many}))}"
    elif row.kind == "pipeline":
        yield f"{_median(result['rounds'], row.contenders[0], 'seconds'):.1f} s"
    else:
        yield from _table(result["rounds"])
    for name, why in result.get("left_out", {}).items():
        yield from ("", f"{name} is left out: {why[:200]}")


def _table(rounds: Rounds) -> Iterator[str]:
    best = fastest(rounds, peers=True)
    against = best or next(iter(rounds))
    yield f"| contender | images/s | least to most | times {against} | round by round | memory of the GPU, GB |"
    yield "|---|---|---|---|---|---|"
    for row in summarise(rounds, "images_per_second", against):
        ratios = [1 / one for one in row["ratios"]]
        memory = _median(rounds, row["contender"], "gpu_memory_mb")
        yield (
            f"| {row['contender']} | {row['median']:.4g} | {row['least']:.4g} to {row['most']:.4g} "
            f"| {statistics.median(ratios):.2f} | {' '.join(f'{one:.2f}' for one in ratios)} "
            f"| {'' if memory is None else f'{memory / 1e3:.1f}'} |"
        )
