"""Measures training and inference on a GPU, and writes `benchmarks/results-gpu.md` and `benchmarks/results-gpu.json`.

    python -m benchmarks.gpu                            # the rows that are missing; `make bench-gpu` does the same
    python -m benchmarks.gpu --list                     # the rows, and which of them have figures
    python -m benchmarks.gpu --rows waiting --again     # measures a row that has figures once more
    python -m benchmarks.gpu --minutes 9                # starts no row that might end later, where calls are limited
    python -m benchmarks.gpu --rows                     # no row: writes the page from the file of results

Every row is written as soon as it is measured, so that a run that was interrupted goes on with the next row.

`--device cpu` tries the commands on the processor; its figures say nothing about a GPU:

    python -m benchmarks.gpu --device cpu --size 32 --batch 8 --network tiny --json /tmp/trial.json
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_contenders, gpu_repeats
from benchmarks.contenders import compare
from benchmarks.gpu_machine import look
from benchmarks.gpu_page import page
from benchmarks.gpu_rows import PEER, ROWS, Row
from benchmarks.pipeline import seconds
from benchmarks.training import NETWORKS
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.network.occupancy import used_by_others

RESULTS = Path(__file__).with_name("results-gpu.json")


class Clock:
    """The time of a call.

    Args:
        minutes: that it may last; 0 sets no limit.
        now: tells seconds.
    """

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        self._minutes, self._now = minutes, now
        self._began = self._row = now()
        self._longest = 0.0

    def begin(self) -> None:
        """Notes that a row begins."""
        self._row = self._now()

    def end(self) -> None:
        """Notes that the row has ended."""
        self._longest = max(self._longest, self._now() - self._row)

    def allows(self) -> bool:
        """Whether another row as long as the longest one so far would end in time."""
        return not self._minutes or self._now() - self._began + self._longest < 60 * self._minutes


def read(path: Path) -> dict[str, Any]:
    """The results by row; none if the file does not exist.

    Raises:
        UserError: the file is damaged.
    """
    try:
        rows: dict[str, Any] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else {}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of results ({error}): remove it, or name another one by --json.") from error
    return rows


def write(path: Path, results: dict[str, Any]) -> None:
    """Writes the file of results, and the page beside it."""
    ordered = {row.name: results[row.name] for row in ROWS if row.name in results}
    for name, text in ((path, json.dumps({"rows": ordered}, indent=1) + "\n"), (path.with_suffix(".md"), page(ordered))):
        with replacing(name) as partial:
            partial.write_text(text, "utf-8")


def is_done(row: Row, result: dict[str, Any] | None, runs: int) -> bool:
    """Whether a row has all its figures, or has failed."""
    if result is None or result.get("failed") or row.kind != "repeats":
        return result is not None
    return all(len(hashes) >= runs for hashes in result["hashes"].values())


def measure(row: Row, options: argparse.Namespace, held: dict[str, Any] | None, save: Callable[[dict[str, Any]], bool]) -> None:
    """Measures a row.

    Args:
        row: what to measure.
        options: of the command.
        held: what was measured of it before.
        save: gets the result, and says whether there is time for more.
    """
    own = argparse.Namespace(**vars(options) | {"kind": row.kind})
    own.size, own.batch = options.size or row.size, options.batch or row.batch
    result = {"size": own.size, "batch": own.batch, "network": own.network}
    names = options.contenders or [options.peer if name == PEER else name for name in row.contenders]
    try:
        if row.kind == "repeats":
            hashes = (held or {}).get("hashes") or {"whole": [], "resumed": []}
            gpu_repeats.extend(hashes, names[0], own, lambda found: save(result | {"hashes": found}))
        elif row.kind == "pipeline":
            save(result | {"rounds": {names[0]: [{"seconds": _repro()} for _ in range(min(2, own.rounds))]}})
        else:
            left_out: dict[str, str] = {}
            rounds = compare(
                "benchmarks.gpu_contenders",
                list(dict.fromkeys(names)),
                gpu_contenders.options(own),
                own.rounds,
                interpreter=lambda name: own.torch if name.startswith("torch") else sys.executable,
                left_out=left_out,
                rate=lambda: 1.0,  # no round is repeated because the processor is busy: the time of the GPU is lent
            )
            save(result | {"rounds": rounds, "left_out": left_out})
    except (RuntimeError, subprocess.CalledProcessError) as error:
        save(result | {"failed": str(error)})


def _repro() -> float:
    """Seconds of all six stages in a clone of the last commit, or in a copy where the tree came without Git."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        if Path(".git").exists():
            subprocess.run(["git", "clone", "--quiet", ".", str(project)], check=True)
        else:
            shutil.copytree(".", project, ignore=shutil.ignore_patterns(".venv*", ".gpu", "cache", "tmp", "shared"))
            subprocess.run(["dvc", "config", "--local", "core.no_scm", "true"], cwd=project, check=True)
        return seconds(["dvc", "repro", "--force"], project)


def run(options: argparse.Namespace, rows: Sequence[Row]) -> int:
    """Measures rows one after another; returns 1 if one of them failed."""
    results = read(options.json)
    missing = [row for row in rows if options.again or not is_done(row, results.get(row.name), options.runs)]
    machine = look(options.device, options.torch) if missing else {}
    for clause in used_by_others() if missing and options.device == "gpu" else ():
        print(clause, file=sys.stderr)
    clock = Clock(options.minutes)
    for number, row in enumerate(missing):
        if not clock.allows():
            print(f"no time is left for {', '.join(one.name for one in missing[number:])}: run the same command again")
            break
        print(f"row {row.name}", file=sys.stderr)
        clock.begin()

        def save(result: dict[str, Any], row: Row = row) -> bool:
            results[row.name] = result | {"machine": machine}
            write(options.json, results)
            return clock.allows()

        measure(row, options, None if options.again else results.get(row.name), save)
        if row.kind != "repeats":
            clock.end()
    write(options.json, results)
    print(f"{options.json.with_suffix('.md')} has {len(results)} of {len(ROWS)} rows")
    return int(any(results.get(row.name, {}).get("failed") for row in missing))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options.

    Raises:
        UserError: options that do not go together.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="*", default=names, metavar="ROW", help="those to measure, see --list")
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--again", action="store_true", help="also rows that have figures")
    parser.add_argument("--minutes", type=float, default=0, help="start no row that might end later")
    parser.add_argument("--peer", default=PEER, help="settings of PyTorch to compare with; the row peers-224-128 shows which")
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="the Python that has PyTorch")
    parser.add_argument("--contenders", nargs="+", help="in place of those of the row")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=3.0, help="least duration of a turn")
    parser.add_argument("--steps", type=int, default=10, help="steps between two waits for a result")
    parser.add_argument("--runs", type=int, default=20, help="of each kind, for the rows `repeats`")
    parser.add_argument("--parallel", type=int, default=4, help="runs at a time, for the rows `repeats`")
    parser.add_argument("--json", type=Path, default=RESULTS, help="file of results; the page is written beside it")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--size", type=int, help="in place of the row's")
    parser.add_argument("--batch", type=int, help="in place of the row's")
    parser.add_argument("--network", choices=list(NETWORKS), default="resnet50")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.rows if name not in names]:
        raise UserError(f"--rows names {', '.join(unknown)}, but the rows are {', '.join(names)}.")
    if shutil.which(options.torch) is None:
        raise UserError(f"--torch is {options.torch}, which is no program: name the Python that has PyTorch.")
    changed = (options.device, options.size, options.batch, options.network) != ("gpu", None, None, "resnet50")
    if options.json == RESULTS and options.rows and (changed or options.contenders) and not options.list:
        raise UserError(
            f"{RESULTS.name} is for the rows as they are: name another file by --json to change device, size, batch, "
            "network or contenders."
        )
    return options


def main() -> int:
    """Runs the command; returns the exit code."""
    try:
        options = parse()
        if options.list:
            results = read(options.json)
            for row in ROWS:
                print(f"{row.name:30} {'has figures' if is_done(row, results.get(row.name), options.runs) else row.title}")
            return 0
        return run(options, [row for row in ROWS if row.name in options.rows])
    except UserError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
