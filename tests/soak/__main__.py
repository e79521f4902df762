"""Runs fault-injection trials and writes their rows into `docs/survival.md`; `make soak` calls it.

python -m tests.soak                    # about two hours on two cores
python -m tests.soak --only "power cut" # only rows whose fault contains this; the other rows of the page stay as they are
python -m tests.soak --share 0.1        # a tenth of the trials of each row; prints the table and writes nothing
"""

import argparse
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tasks.stage.record import machine
from tests.imports import ROOT
from tests.soak.trials import Trial

MODULES = (
    "interrupted_training",
    "entry_points",
    "moved_runs",
    "killed_search",
    "killed_saves",
    "stages",
    "power_cut",
    "killed_server",
    "killed_worker",
    "s3_faults",
    "killed_hosts",
    "simulated_machine",
    "texts",
    "sanitized_kernels",
)
PAGE = Path("docs/survival.md")
_HEAD = """# Survival

The faults that `make soak` injects, the number of trials, and the number of trials that the program survived. The code of each
row is in `tests/soak/`; `make test` runs a few trials of most of them. A row can be run alone, with `python -m tests.soak
--only WORDS`; the last column says when and where it was run.

| fault | trials | survived | expected | seconds | run |
|---|---|---|---|---|---|
"""


def collect() -> list[Trial]:
    """The rows of all modules, in the order of the page."""
    return [row for name in MODULES for row in importlib.import_module(f"tests.soak.{name}").ROWS]


def run(row: Trial, share: float) -> tuple[str, bool]:
    """Runs a share of a row's trials; returns the line of the table, and whether the program survived all of them."""
    trials = max(1, round(share * row.trials))
    began = time.monotonic()
    survived = row.run(trials)
    seconds = time.monotonic() - began
    facts = machine()
    where = f"{datetime.now(UTC):%Y-%m-%d}, {facts['cores']} cores of {facts['processor']}"
    return f"| {row.fault} | {trials} | {survived} | {row.expected} | {seconds:.0f} | {where} |", survived == trials


def write_page(path: Path, lines: Mapping[str, str], order: Sequence[str]) -> None:
    """Writes the page: the given lines, and the present lines of other faults. Sections after the table stay.

    Args:
        path: the page; it may exist.
        lines: new lines by fault.
        order: the faults in the order of the table; any other fault is removed.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    known = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    known.update(lines)
    table = [known[fault] for fault in order if fault in known]
    _, mark, sections = text.partition("\n## ")
    page = _HEAD + "".join(f"{line}\n" for line in table) + f"\n{_foot(table, order)}\n"
    path.write_text(page + mark + sections, encoding="utf-8")


def write_section(path: Path, heading: str, text: str) -> None:
    """Writes the section after the table of the page."""
    page = path.read_text("utf-8").partition("\n## ")[0]
    path.write_text(f"{page}\n## {heading}\n\n{text}", encoding="utf-8")


def _foot(table: Sequence[str], order: Sequence[str]) -> str:
    """What the rows of the table add up to, from the rows themselves."""
    cells = [line.strip("| ").split(" | ") for line in table]
    trials, survived, seconds = (sum(int(row[column]) for row in cells) for column in (1, 2, 4))
    total = f"Total: {len(table)} rows, {trials:,} trials, {survived:,} survived, {seconds:,} seconds."
    missing = [fault for fault in order if fault not in {row[0] for row in cells}]
    return total + ("\n\nNot yet run whole:\n\n" + "\n".join(f"- {fault}" for fault in missing) if missing else "")


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
        if not row.trials:
            print(f"{row.fault}: not run, because this machine lacks what it needs", file=sys.stderr, flush=True)
            continue
        line, survived = run(row, given.share)
        print(line, flush=True)
        well &= survived
        if given.share == 1:
            write_page(ROOT / PAGE, {row.fault: line}, [row.fault for row in rows])
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
