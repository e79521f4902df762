"""All rows of `docs/survival.md`: what is done to the program, how often, and how often it survived. `make soak` runs it.

python -m tests.soak                    # 90 minutes at most on two cores; writes docs/survival.md
python -m tests.soak --share 0.1        # a tenth of each row; prints the table and writes nothing
"""

import argparse
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.record import machine
from tests.imports import ROOT
from tests.soak.trials import Trial

MODULES = ("interrupted_training", "stages", "texts")
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


def run(rows: Sequence[Trial], share: float) -> Iterator[tuple[str, bool]]:
    """Runs rows one after the other; yields the line of each, and whether all of its trials survived."""
    for row in rows:
        trials = max(1, round(share * row.trials))
        began = time.monotonic()
        survived = row.run(trials)
        line = f"| {row.fault} | {trials} | {survived} | {row.must} | {time.monotonic() - began:.0f} |"
        print(line, flush=True)
        yield line, survived == trials


def main(arguments: list[str] | None = None) -> int:
    """Runs all rows; the exit code is 1 if a trial did not survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the trials of each row (default: all)")
    parser.add_argument("--only", default="", metavar="WORD", help="only rows whose fault has this in it")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    rows = [row for row in collect() if given.only in row.fault]
    results = list(run(rows, given.share))
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.0f} minutes")
    if given.share == 1 and not given.only:
        facts = machine()
        foot = f"\n{minutes:.0f} minutes on {facts['cores']} cores of {facts['processor']}, {facts['system']}.\n"
        (ROOT / PAGE).write_text(_HEAD + "".join(f"{line}\n" for line, _ in results) + foot, encoding="utf-8")
    return 0 if all(well for _, well in results) else 1


if __name__ == "__main__":
    sys.exit(main())
