"""Summarises `reports/run.json` in one line, which `render` prints at the end of a run."""

import json
from collections.abc import Iterable
from typing import Any

from resnet.core.errors import UserError
from resnet.core.words import counted
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.record import RUN_JSON

_SHOWN = 3  # changed files to name


def describe_last_run() -> str:
    """Seconds by stage, revision and machine; empty if the record is missing or damaged, since nothing depends on it."""
    try:
        stages: dict[str, dict[str, Any]] = json.loads(RUN_JSON.read_text("utf-8"))["stages"]
        stages.pop("render", None)  # an earlier run's; this one is recorded when it has ended
        seconds = ", ".join(f"{stage} {entry['seconds']:.1f} s" for stage, entry in stages.items())
        last = max(stages.values(), key=lambda entry: entry["finished"])
        revision = (
            f"revision {last['revision'][:7]}{_changed(last['uncommitted'])}" if last["revision"] else "no revision of Git"
        )
        return f"{seconds}; {revision}; {counted(last['machine']['cores'], 'core')} of {last['machine']['processor']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _changed(status: Iterable[str]) -> str:
    """The files that differ from the revision, without those that a run writes itself."""
    written = _written()
    # `git status --porcelain` prints "XY name", a renamed file as "old -> new", and an untracked folder with a slash.
    names = [line[3:].rpartition(" -> ")[2].strip('"') for line in status]
    names = [
        name
        for name in names
        if not any(
            name == path or name.startswith(f"{path}/") or (name.endswith("/") and path.startswith(name)) for path in written
        )
    ]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f" with changes in {', '.join(names[:_SHOWN])}{more}" if names else ""


def _written() -> set[str]:
    """`dvc.lock` and the outputs of the stages."""
    try:
        stages = read_graph(DVC_YAML).values()
    except UserError:
        return {"dvc.lock"}
    items = [item for entry in stages for kind in ("outs", "metrics", "plots") for item in entry.get(kind, [])]
    return {"dvc.lock", *(item if isinstance(item, str) else next(iter(item)) for item in items)}
