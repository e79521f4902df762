"""What the benchmark commands share: options, the timing loop, and the report."""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import Measure, Rounds, compare, serve, summarise, table

OURS = "ours"


def parser(module: str, description: str, peers: Sequence[str], size: int, batch: int) -> argparse.ArgumentParser:
    """Makes the parser of a benchmark that works on batches of images of one size.

    Args:
        module: of the benchmark.
        description: for its help text.
        peers: the default contenders besides ours.
        size: the default height and width in pixels.
        batch: the default number of images in a step.
    """
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--size", type=int, default=size, help="height and width of images in pixels")
    made.add_argument("--batch", type=int, default=batch, help="images in a step")
    made.add_argument("--peers", nargs="*", default=list(peers), metavar="PEER", help=f"from {', '.join(peers)}")
    made.add_argument("--rounds", type=int, default=5, help="turns of each contender; a single one is never repeated")
    made.add_argument("--seconds", type=float, default=4.0, help="least duration of a turn")
    made.add_argument("--json", type=Path, help="write all figures to this file")
    made.add_argument("--contender", help=argparse.SUPPRESS)
    return made


def repeat(step: Callable[[], object], images: int, seconds: float) -> Measure:
    """Makes a function that repeats a step for some seconds and returns the `figures`.

    Args:
        step: one step; it must have run at least once, so that tracing is not timed.
        images: in a step.
        seconds: the least duration.
    """

    def measure() -> dict[str, float]:
        steps, began = 0, time.perf_counter()
        while steps < 1 or time.perf_counter() - began < seconds:
            step()
            steps += 1
        return figures(steps * images, time.perf_counter() - began)

    return measure


def figures(images: int, seconds: float) -> dict[str, float]:
    """Returns images per second, and the peak memory of the process so far in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"images_per_second": images / seconds, "peak_memory_mb": peak}


def run(
    module: str,
    title: str,
    arguments: argparse.Namespace,
    make: Callable[[str, argparse.Namespace], Callable[[], object]],
    figures: Sequence[str],
    *,
    options: Sequence[str] = (),
) -> int:
    """Compares ours with the peers and prints a table; with `--contender`, runs the process of one contender instead.

    Args:
        module: of the benchmark.
        title: of its table.
        arguments: those of `parser`.
        make: makes the step of a contender from its name.
        figures: names of the figures to report.
        options: more options for all contenders.

    Returns:
        The exit code.
    """
    if arguments.contender:
        step = make(arguments.contender, arguments)
        for _ in range(2):
            step()
        serve(repeat(step, arguments.batch, arguments.seconds))
        return 0
    size = ["--size", str(arguments.size), "--batch", str(arguments.batch), *options]
    rounds = compare(module, [OURS, *arguments.peers], [*size, "--seconds", str(arguments.seconds)], arguments.rounds)
    rows = [row for figure in figures for row in summarise(rounds, figure, OURS)]
    command = f"python -m {module} {' '.join(size)} --peers {' '.join(arguments.peers)}"
    report(
        f"{title}, {arguments.size} px, batch {arguments.batch}", command, rows, rounds=rounds, first=OURS, path=arguments.json
    )
    return 0 if OURS in rounds else 1


def report(
    title: str, command: str, rows: Sequence[Mapping[str, Any]], *, rounds: Rounds, first: str, path: Path | None
) -> None:
    """Prints the table of a comparison, and writes the figures of all rounds to a file if `path` is given."""
    write(table(title, command, rows, first), rows, rounds, path)


def write(text: str, rows: Sequence[Mapping[str, Any]], rounds: Rounds, path: Path | None) -> None:
    """Prints a report and appends it to the file, because a benchmark may have several reports."""
    print(text)
    if path:
        held = path.read_text("utf-8") if path.exists() else ""
        old: dict[str, Any] = json.loads(held) if held else {"report": "", "parts": []}
        parts = [*old["parts"], {"rows": rows, "rounds": rounds}]
        together = f"{old['report']}\n{text}".lstrip()
        path.write_text(json.dumps({"report": together, "parts": parts}, indent=2) + "\n", "utf-8")


def main(
    module: str,
    title: str,
    arguments: argparse.Namespace,
    make: Callable[..., Callable[[], object]],
    options: Sequence[str] = (),
) -> None:
    """Runs a benchmark of images per second and peak memory, then exits."""
    sys.exit(run(module, title, arguments, make, ["images_per_second", "peak_memory_mb"], options=options))
