"""All rows of `docs/survival.md`: what is done to the program, how often, and how often it survived. `make soak` runs it.

python -m tests.soak                    # 90 minutes at most on two cores; writes docs/survival.md
python -m tests.soak --share 0.1        # a tenth of each row; prints the table and writes nothing
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

MODULES = ("interrupted_training", "doors", "killed_saves", "stages", "texts")
PAGE = Path("docs/survival.md")
_HEAD = """# Survival

What `make soak` does to the program, how often, and how often it survived. Each row's code is in `tests/soak/`; `make test` has
a few trials of each.

| fault | trials | survived | must | seconds |
|---|---|---|---|---|
"""


def collect(folder: Path = ROOT / "tests" / "soak") -> list[Trial]:
    """The rows of all modules that are there; one that is there and cannot be imported is an error."""
    rows: list[Trial] = []
    for name in MODULES:
        if (folder / f"{name}.py").exists():
            rows += importlib.import_module(f"tests.soak.{name}").ROWS
    return rows


def run(row: Trial, share: float) -> tuple[str, bool]:
    """Runs a row; returns its line of the table, and whether all of its trials survived."""
    trials = max(1, round(share * row.trials))
    began = time.monotonic()
    survived = row.run(trials)
    seconds = time.monotonic() - began
    return f"| {row.fault} | {trials} | {survived} | {row.must} | {seconds:.0f} |", survived == trials


def write_page(path: Path, lines: Mapping[str, str], order: Sequence[str]) -> None:
    """Writes lines by their faults into the page, in an order; lines that are there already and not given stay."""
    text = path.read_text("utf-8") if path.exists() else ""
    known = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    known.update(lines)
    table = [known[fault] for fault in order if fault in known]
    minutes = sum(int(line.rstrip(" |").rpartition(" ")[2]) for line in table) / 60
    facts = machine()
    foot = f"\n{minutes:.0f} minutes in all, on {facts['cores']} cores of {facts['processor']}, {facts['system']}.\n"
    path.write_text(_HEAD + "".join(f"{line}\n" for line in table) + foot, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Runs rows; the exit code is 1 if a trial did not survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the trials of each row (default: all)")
    parser.add_argument("--only", default="", metavar="WORDS", help="only rows whose fault has this in it")
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
