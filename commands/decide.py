"""Add the decisions in a table of suspects to `data/decisions.csv`, which `ingest` applies.

`python -m flows.audit` writes the table, `reports/audit/suspects.csv`. Rows without a decision stay undecided. A decision about
an image that has one already replaces it.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from commands.out_of_fold import audit_folder
from resnet.audit.suspects import decisions_in
from resnet.core.classes import read_classes, read_label_sets
from resnet.core.errors import UserError, listed, printable
from resnet.core.words import agreeing, counted
from resnet.ingestion.decisions import KINDS, Decision, Decisions, read_decisions, write_decisions
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
    new = decisions_in(table)
    if not new:
        raise UserError(
            f"no row of {table} has a decision: write {', '.join(KINDS[:-1])} or {KINDS[-1]} in the column decision, and "
            "save it."
        )
    classes = paths["raw"] / "classes.json"
    if classes.exists():
        several = read_label_sets(classes) is not None
        Decisions(str(table), new).require_classes(read_classes(classes), multi_label=several)
    changed = sum(key in known.by_hash for key in new)
    merged = dict(known.by_hash) | new
    write_decisions(target, merged.values())
    counts = Counter(one.kind for one in new.values())
    found = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    replaced = f", of which {changed:,} replaced earlier ones" if changed else ""
    print(f"decide: {found}{replaced}; {printable(str(target))} has {counted(len(merged), 'decision')}")
    for note in _unknown([one for key, one in new.items() if key not in known.by_hash], paths["raw"] / "manifest.csv"):
        print(f"decide: {note}")
    print(f"decide: next: `dvc repro`, which applies them, and `git commit {target}`")


def _unknown(decisions: Sequence[Decision], manifest: Path) -> Iterator[str]:
    """A warning about decisions whose images `ingest` does not list; images whose labels conflict are not listed either."""
    if manifest.exists():
        with manifest.open(encoding="utf-8", newline="") as file:
            hashes = {row.get("pixel_hash") for row in csv.DictReader(file)}
        if unknown := [one.path for one in decisions if one.pixel_hash not in hashes]:
            verb = agreeing(len(unknown), "is", "are")
            yield (
                f"warning: {counted(len(unknown), 'decision')} {verb} about no image in {manifest}: {listed(unknown)}; check "
                "pixel_hash, unless the image was rejected because its labels conflict"
            )
