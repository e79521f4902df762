"""Compares contenders that take turns, each in its own process.

The speed of a shared machine changes from minute to minute. So all contenders start first; then, in each round, each works for
some seconds while the others sleep. A ratio compares two contenders within a round; the median of the ratios is reported.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Measure = Callable[[], dict[str, float]]
Rounds = dict[str, list[dict[str, float]]]


def serve(measure: Measure) -> None:
    """Runs the process of a contender: reports that it is ready, then measures once for each line on standard input."""
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


def compare(module: str, names: Sequence[str], options: Sequence[str], rounds: int) -> Rounds:
    """Starts the contenders and lets them measure in turns.

    Args:
        module: `python -m module --contender NAME` plus `options` starts a contender.
        names: of the contenders. One that fails to start is left out, and the last line that it printed is shown.
        options: for all contenders.
        rounds: the number of turns of each.

    Returns:
        The measured figures of each contender in each round.

    Raises:
        RuntimeError: a contender ended before its last round.
    """
    running = {}
    for name in names:
        command = [sys.executable, "-m", module, "--contender", name, *options]
        # Libraries print much while they start; it is shown only if the start fails.
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
            if _answer(process) is None:
                process.wait()
                said.seek(0)
                print(f"{name} is left out: {(said.read().strip().splitlines() or ['it ended'])[-1]}", file=sys.stderr)
                continue
        running[name] = process
    results: Rounds = {name: [] for name in running}
    try:
        for number in range(rounds):
            for name, process in running.items():
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                answer = _answer(process)
                if answer is None:
                    raise RuntimeError(f"{name} ended in round {number + 1}")
                results[name].append(answer)
                print(f"round {number + 1}, {name}: {_figures(answer)}", file=sys.stderr)
    finally:
        for process in running.values():
            _end(process)
    return results


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
    return "\n".join(lines) + "\n"
