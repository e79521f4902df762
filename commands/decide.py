"""Add the decisions in a table of suspects to `data/decisions.csv`, which `ingest` applies.

`python -m flows.audit` writes the table, `reports/audit/suspects.csv`. Rows without a decision stay undecided. A decision about
an image that has one already replaces it.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from commands.out_of_fold import audit_folder
from resnet.audit.suspects import COLUMNS
from resnet.core.classes import read_classes
from resnet.core.errors import UserError, printable
from resnet.ingestion.decisions import KINDS, Decisions, decisions_in, read_decisions, write_decisions
from tasks.stage.graph import project_paths


def decide(
    suspects: Annotated[
        Path | None,
        typer.Argument(metavar="TABLE", dir_okay=False, help="The table; by default that of the last audit."),
    ] = None,
) -> None:
    """Adds the decisions.

    Raises:
        UserError: a table cannot be read, no row has a decision, or one is not possible.
    """
    paths = project_paths()
    table = suspects or audit_folder() / "suspects.csv"
    if not table.exists():
        raise UserError(f"{table} is missing: `python -m flows.audit` writes it, or name another table.")
    target = paths["decisions_csv"]
    known = read_decisions(target)
    rows = list(decisions_in(table, COLUMNS, undecided=True))
    new = {one.pixel_hash: one for one in rows}
    if len(new) < len(rows):
        twice = next(one for one in rows if new[one.pixel_hash] is not one)
        raise UserError(f"{table} has two decisions about the image {twice.path!r}, one in line {twice.line}: keep one.")
    if not new:
        raise UserError(f"no row of {table} has a decision: write {', '.join(KINDS)} in the column decision, and save it.")
    classes = paths["raw"] / "classes.json"
    if classes.exists():
        Decisions(str(table), new).require_classes(read_classes(classes))
    changed = sum(key in known.by_hash for key in new)
    merged = dict(known.by_hash) | new
    write_decisions(target, merged.values())
    counts = Counter(one.kind for one in new.values())
    found = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    replaced = f", of which {changed:,} replaced earlier ones" if changed else ""
    print(f"decide: {found}{replaced}; {printable(str(target))} has {len(merged):,} decisions")
    print(f"decide: next: `dvc repro`, which applies them, and `git commit {target}`")
