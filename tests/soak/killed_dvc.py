"""`dvc repro STAGE` that ends itself by SIGKILL at a point after the stage's command: `killed_dvc.py POINT STAGE`.

Points: `saved` (the command is done, no hash taken), `committed` (hashes taken, nothing in the cache), `locked` (all in the
cache, `dvc.lock` as it was), `torn-lock` and `empty-lock` (in the middle of writing `dvc.lock`), `torn-rwlock` and
`empty-rwlock` (in the middle of writing that).
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dvc.dvcfile
import dvc.rwlock
import dvc.stage
from dvc.cli import main

POINTS = ("saved", "committed", "locked", "torn-lock", "empty-lock", "torn-rwlock", "empty-rwlock")


def die(path: Path | None = None, share: float = 0.0) -> None:
    """Ends this process, and leaves a share of a file."""
    if path is not None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, act: Callable[[Any], object]) -> None:
    """Has something done before a method."""
    original = getattr(owner, name)

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        act(arguments[0] if arguments and name == "dump_stages" else self)
        return original(self, *arguments, **options)

    setattr(owner, name, method)


def arm(point: str, stage: str) -> None:
    """Sets the trap."""

    def of_the_stage(thing: Any) -> bool:
        return any(getattr(one, "name", None) == stage for one in (thing if isinstance(thing, list) else [thing]))

    if point in ("saved", "committed"):
        before(dvc.stage.PipelineStage, "save" if point == "saved" else "commit", lambda one: of_the_stage(one) and die())
    elif point == "locked":
        before(dvc.dvcfile.Lockfile, "dump_stages", lambda stages: of_the_stage(stages) and die())
    elif point.endswith("-lock"):
        original = dvc.dvcfile.Lockfile.dump_stages

        def dump_stages(self: Any, stages: Any, **options: Any) -> None:
            original(self, stages, **options)
            if of_the_stage(stages):
                die(Path("dvc.lock"), 0.6 if point.startswith("torn") else 0.0)

        dvc.dvcfile.Lockfile.dump_stages = dump_stages
    else:
        before(
            dvc.stage.PipelineStage,
            "save",
            lambda one: of_the_stage(one) and die(Path(".dvc/tmp/rwlock"), 0.5 if point.startswith("torn") else 0.0),
        )


if __name__ == "__main__":
    arm(*sys.argv[1:3])
    sys.exit(main(["repro", sys.argv[2]]))
