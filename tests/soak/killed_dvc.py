"""Runs `dvc repro STAGE` and kills it by SIGKILL at a point after the stage's command: `killed_dvc.py POINT STAGE`.

Points: `saved` (the command has ended, no hash is computed), `committed` (hashes computed, nothing in the cache), `locked`
(everything in the cache, `dvc.lock` not updated), `torn-lock` and `empty-lock` (while `dvc.lock` is written), `torn-rwlock` and
`empty-rwlock` (while DVC's file of locks is written).
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
    """Kills this process; a file is first truncated to a share of its bytes."""
    if path is not None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, act: Callable[[Any], None]) -> None:
    """Patches a method so that `act` is called first, with the stages that the method handles."""
    original = getattr(owner, name)

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        act(arguments[0] if arguments and name == "dump_stages" else self)
        return original(self, *arguments, **options)

    setattr(owner, name, method)


def arm(point: str, stage: str) -> None:
    """Patches DVC so that it is killed at a point of a stage."""

    def is_of_the_stage(thing: Any) -> bool:
        return any(getattr(one, "name", None) == stage for one in (thing if isinstance(thing, list) else [thing]))

    def strike(thing: Any) -> None:
        if is_of_the_stage(thing):
            die(Path(".dvc/tmp/rwlock") if point.endswith("-rwlock") else None, 0.5 if point.startswith("torn") else 0.0)

    if point.endswith("-lock"):
        original = dvc.dvcfile.Lockfile.dump_stages

        def dump_stages(self: Any, stages: Any, **options: Any) -> None:
            original(self, stages, **options)
            if is_of_the_stage(stages):
                die(Path("dvc.lock"), 0.6 if point.startswith("torn") else 0.0)

        dvc.dvcfile.Lockfile.dump_stages = dump_stages
    elif point == "locked":
        before(dvc.dvcfile.Lockfile, "dump_stages", strike)
    else:
        before(dvc.stage.PipelineStage, "commit" if point == "committed" else "save", strike)


if __name__ == "__main__":
    arm(*sys.argv[1:3])
    sys.exit(main(["repro", sys.argv[2]]))
