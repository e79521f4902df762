"""Compares contenders that take turns, each in its own process.

The speed of a shared machine changes from minute to minute. So all contenders start first; then, in each round, each works for
some seconds while the others sleep. A ratio compares two contenders within a round; the median of the ratios is reported.

Before and after each round, the rate of matrix products is measured. A round in which it fell below 70 % of the best rate is
repeated, because other programs used the processor. A comparison of a single round repeats nothing: it shows that a benchmark
runs.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Measure = Callable[[], dict[str, float]]
Rounds = dict[str, list[dict[str, float]]]

# Every contender gets the allocator that `train` uses (see resnet/network/huge_pages.py): glibc's, with pages of 2 MB.
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
BUSY = 0.7  # share of the best rate of matrix products below which a round is repeated
PEERS = ("keras", "torch", "openvino")  # how the names of contenders begin that are not ours
_MOST_REPEATS = 10  # in one comparison; a machine that stays busy must not keep it from ending


def serve(measure: Measure) -> None:
    """Runs the process of a contender: reports that it is ready, then measures once for each line on standard input."""
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


def matrix_rate() -> float:
    """Products of matrices a second, measured for about half a second on all cores."""
    import numpy as np

    one = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < 0.5:
        one @ one
        count += 1
    return count / (time.perf_counter() - began)


def compare(
    module: str,
    names: Sequence[str],
    options: Sequence[str],
    rounds: int,
    *,
    interpreter: Callable[[str], str] = lambda name: sys.executable,
    left_out: dict[str, str] | None = None,
    rate: Callable[[], float] = matrix_rate,
) -> Rounds:
    """Starts the contenders and lets them measure in turns.

    Args:
        module: `python -m module --contender NAME` plus `options` starts a contender.
        names: of the contenders. One that fails to start is left out, and the last line that it printed is shown.
        options: for all contenders.
        rounds: the number of turns of each.
        interpreter: the Python of a contender.
        left_out: gets the contenders that fail to start, with the last line that they printed.
        rate: measures how fast the machine is now, see `quiet_rounds`.

    Returns:
        The measured figures of each contender in each round.

    Raises:
        RuntimeError: a contender ended before its last round.
    """
    running = {}
    for name in names:
        command = [interpreter(name), "-m", module, "--contender", name, *options]
        # Libraries print much while they start; it is shown only if the start fails.
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, env=os.environ | ALLOCATOR
            )
            if _answer(process) is None:
                process.wait()
                said.seek(0)
                why = (said.read().strip().splitlines() or ["it ended"])[-1]
                print(f"{name} is left out: {why}", file=sys.stderr)
                if left_out is not None:
                    left_out[name] = why
                continue
        running[name] = process
    try:
        kept = [_round(running, 1)] if rounds == 1 else quiet_rounds(lambda number: _round(running, number), rate, rounds)
    finally:
        for process in running.values():
            _end(process)
    return {name: [answers[name] for answers in kept] for name in running}


def quiet_rounds(
    work: Callable[[int], dict[str, dict[str, float]]], rate: Callable[[], float], rounds: int
) -> list[dict[str, dict[str, float]]]:
    """Does rounds of work until enough of them were undisturbed.

    Args:
        work: does the round of a number, from 1, and returns each contender's figures.
        rate: measures how fast the machine is now.
        rounds: how many are wanted.

    Returns:
        The rounds whose rate, before and after, was at least `BUSY` of the best rate; if the machine stays busy, the rounds
        with the highest rates.
    """
    rates = [rate()]
    done: list[tuple[float, dict[str, dict[str, float]]]] = []
    while True:
        answers = work(len(done) + 1)
        rates.append(rate())
        done.append((min(rates[-2:]), answers))
        quiet = [one for one in done if one[0] >= BUSY * max(rates)]
        if len(quiet) >= rounds:
            return [answers for _, answers in quiet]
        if len(done) >= rounds + _MOST_REPEATS:
            print(f"only {len(quiet)} of {len(done)} rounds were undisturbed: the machine is busy", file=sys.stderr)
            best = sorted(range(len(done)), key=lambda number: -done[number][0])[:rounds]
            return [done[number][1] for number in sorted(best)]
        if done[-1][0] < BUSY * max(rates):
            share = done[-1][0] / max(rates)
            print(f"the machine is busy: {share:.0%} of its best rate; the round is repeated", file=sys.stderr)


def _round(running: Mapping[str, "subprocess.Popen[str]"], number: int) -> dict[str, dict[str, float]]:
    answers = {}
    for name, process in running.items():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        answer = _answer(process)
        if answer is None:
            raise RuntimeError(f"{name} ended in round {number}")
        answers[name] = answer
        print(f"round {number}, {name}: {_figures(answer)}", file=sys.stderr)
    return answers


def _end(process: "subprocess.Popen[str]") -> None:
    """Closes the input of a contender, which then removes its files and exits; kills it after 30 s."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answer(process: "subprocess.Popen[str]") -> dict[str, float] | None:
    """Returns the next JSON line that a contender prints and skips other output; None if the contender ended."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, float] = json.loads(line)
            return answer
    return None


def _figures(answer: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in answer.items())


def summarise(rounds: Rounds, figure: str, first: str) -> list[dict[str, Any]]:
    """Makes a row for each contender: median and range of a figure, and the ratio of `first` to it in each round."""
    rows = []
    for name, answers in rounds.items():
        values = [answer[figure] for answer in answers]
        ratios = [own[figure] / value for own, value in zip(rounds.get(first, []), values, strict=False)]
        rows.append(
            {
                "contender": name,
                "figure": figure,
                "median": statistics.median(values),
                "least": min(values),
                "most": max(values),
                "ratios": ratios,
                "ratio": statistics.median(ratios) if ratios else None,
            }
        )
    return rows


def best_peer(rows: Sequence[Mapping[str, Any]], first: str) -> str:
    """A sentence on each rate of `rows`: the fastest contender that is not ours, and our ratio to it; empty without peers."""
    sentences = []
    for figure in dict.fromkeys(row["figure"] for row in rows if "second" in row["figure"]):
        peers = [row for row in rows if row["figure"] == figure and row["contender"].partition("-")[0] in PEERS]
        if peers and any(row["contender"] == first for row in rows):
            best = max(peers, key=lambda row: row["median"])
            ratios = best["ratios"]
            sentences.append(
                f"Best peer, {figure.replace('_', ' ')}: {best['contender']}; {first} / best peer {best['ratio']:.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}).\n"
            )
    return "\n".join(sentences)


def table(title: str, command: str, rows: Sequence[Mapping[str, Any]], first: str) -> str:
    """Formats the rows of `summarise` as Markdown."""
    lines = [
        f"## {title}",
        "",
        f"    {command}",
        "",
        f"| contender | figure | median | least to most | {first} / contender | round by round |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        each = " ".join(f"{value:.2f}" for value in row["ratios"])
        lines.append(
            f"| {row['contender']} | {row['figure'].replace('_', ' ')} | {row['median']:.4g} "
            f"| {row['least']:.4g} to {row['most']:.4g} | {ratio} | {each} |"
        )
    best = best_peer(rows, first)
    return "\n".join([*lines, *(["", best.rstrip()] if best else [])]) + "\n"
