"""Summarises `reports/run.json` in one line, which `render` prints at the end of a run."""

import json
from typing import Any

from tasks.stage.record import RUN_JSON


def describe_last_run() -> str:
    """Seconds by stage, revision and machine; empty if the record is missing or damaged, since nothing depends on it."""
    try:
        stages: dict[str, dict[str, Any]] = json.loads(RUN_JSON.read_text("utf-8"))["stages"]
        stages.pop("render", None)  # an earlier run's; this one is recorded when it has ended
        seconds = ", ".join(f"{stage} {entry['seconds']:.1f} s" for stage, entry in stages.items())
        last = max(stages.values(), key=lambda entry: entry["finished"])
        changed = f" with {len(last['uncommitted'])} files changed" if last["uncommitted"] else ""
        revision = f"revision {last['revision'][:7]}{changed}" if last["revision"] else "no revision of Git"
        return f"{seconds}; {revision}; {last['machine']['cores']} cores of {last['machine']['processor']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
