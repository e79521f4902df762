"""What the benchmarks' command lines have in common: options, repetition for some seconds, and the report."""

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
    """The options of a benchmark of images at a size and in batches."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--size", type=int, default=size, help="height and width of images in pixels")
    made.add_argument("--batch", type=int, default=batch, help="images in a step")
    made.add_argument("--peers", nargs="*", default=list(peers), metavar="PEER", help=f"of {', '.join(peers)}")
    made.add_argument("--rounds", type=int, default=5, help="how often each has its turn")
    made.add_argument("--seconds", type=float, default=4.0, help="that a turn lasts at least")
    made.add_argument("--json", type=Path, help="file for all figures")
    made.add_argument("--contender", help=argparse.SUPPRESS)
    return made


def repeat(step: Callable[[], object], images: int, seconds: float) -> Measure:
    """A measure of a step that has been taken at least once: its images per second, and the process's peak memory so far."""

    def measure() -> dict[str, float]:
        steps, began = 0, time.perf_counter()
        while steps < 1 or time.perf_counter() - began < seconds:
            step()
            steps += 1
        return figures(steps * images, time.perf_counter() - began)

    return measure


def figures(images: int, seconds: float) -> dict[str, float]:
    """Images per second, and the peak memory of the process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"images_per_second": images / seconds, "peak_memory_mb": peak}


def run(
    module: str,
    title: str,
    arguments: argparse.Namespace,
    make: Callable[[str, argparse.Namespace], Callable[[], object]],
    figures: Sequence[str],
) -> int:
    """Serves as a contender if told to be one; otherwise compares ours with the peers and prints what came of it.

    Args:
        module: of the benchmark.
        title: of its table.
        arguments: parsed.
        make: from a contender's name to its step.
        figures: to make tables of.
    """
    if arguments.contender:
        step = make(arguments.contender, arguments)
        for _ in range(2):
            step()
        serve(repeat(step, arguments.batch, arguments.seconds))
        return 0
    size = ["--size", str(arguments.size), "--batch", str(arguments.batch)]
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
    """Prints the table of a comparison and writes all of it to a file if one is asked for."""
    write(table(title, command, rows, first), rows, rounds, path)


def write(text: str, rows: Sequence[Mapping[str, Any]], rounds: Rounds, path: Path | None) -> None:
    """Prints a report; adds it to what the file holds, so that one benchmark can have several."""
    print(text)
    if path:
        held = path.read_text("utf-8") if path.exists() else ""
        old: dict[str, Any] = json.loads(held) if held else {"report": "", "parts": []}
        parts = [*old["parts"], {"rows": rows, "rounds": rounds}]
        together = f"{old['report']}\n{text}".lstrip()
        path.write_text(json.dumps({"report": together, "parts": parts}, indent=2) + "\n", "utf-8")


def main(module: str, title: str, arguments: argparse.Namespace, make: Callable[..., Callable[[], object]]) -> None:
    """Runs a benchmark of images per second and memory, and ends the process."""
    sys.exit(run(module, title, arguments, make, ["images_per_second", "peak_memory_mb"]))
