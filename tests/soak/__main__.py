"""Runs all fault-injection trials and writes `docs/survival.md`; `make soak` calls it.

python -m tests.soak                    # at most 90 minutes on two cores; writes docs/survival.md
python -m tests.soak --share 0.1        # a tenth of the trials of each row; prints the table and writes nothing
"""

import argparse
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.stage.record import machine
from tests.imports import ROOT
from tests.soak.trials import Trial

MODULES = ("interrupted_training", "entry_points", "killed_saves", "stages", "simulated_machine", "texts", "sanitized_kernels")
PAGE = Path("docs/survival.md")
_HEAD = """# Survival

The faults that `make soak` injects, the number of trials, and the number of trials that the program survived. The code of each
row is in `tests/soak/`; `make test` runs a few trials of each.

| fault | trials | survived | expected | seconds |
|---|---|---|---|---|
"""


def collect(folder: Path = ROOT / "tests" / "soak") -> list[Trial]:
    """Imports the modules that exist and returns their rows; a module that fails to import is an error."""
    rows: list[Trial] = []
    for name in MODULES:
        if (folder / f"{name}.py").exists():
            rows += importlib.import_module(f"tests.soak.{name}").ROWS
    return rows


def run(row: Trial, share: float) -> tuple[str, bool]:
    """Runs a share of a row's trials; returns the line of the table, and whether the program survived all of them."""
    trials = max(1, round(share * row.trials))
    began = time.monotonic()
    survived = row.run(trials)
    seconds = time.monotonic() - began
    return f"| {row.fault} | {trials} | {survived} | {row.expected} | {seconds:.0f} |", survived == trials


def write_page(path: Path, lines: Mapping[str, str], order: Sequence[str]) -> None:
    """Writes the page: the given lines, and the present lines of other faults.

    Args:
        path: the page; it may exist.
        lines: new lines by fault.
        order: the faults in the order of the table; any other fault is removed.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    known = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    known.update(lines)
    table = [known[fault] for fault in order if fault in known]
    minutes = sum(int(line.rstrip(" |").rpartition(" ")[2]) for line in table) / 60
    facts = machine()
    foot = f"\nTotal: {minutes:.0f} minutes on {facts['cores']} cores of {facts['processor']}, {facts['system']}.\n"
    path.write_text(_HEAD + "".join(f"{line}\n" for line in table) + foot, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Runs the rows; the exit code is 1 if the program did not survive a trial."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials of each row (default: 1)")
    parser.add_argument("--only", default="", metavar="WORDS", help="only rows whose fault contains this")
    given = parser.parse_args(arguments)
    rows = collect()
    well = True
    for row in rows:
        if given.only not in row.fault:
            continue
        line, survived = run(row, given.share)
        print(line, flush=True)
        well &= survived
        if given.share == 1:
            write_page(ROOT / PAGE, {row.fault: line}, [row.fault for row in rows])
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
