"""Faults of an S3 server and of the way to it while DVC pushes and pulls: a row of `docs/survival.md`.

python -m tests.soak.s3_faults [--trials N]

A trial strikes one request of a push or a pull, two in a row, or all that follow. Then nothing may be damaged that DVC takes
for whole: no object in the cache, no output, and no object in the store. Without the fault, the same command must finish the
work; it may need a second run.
"""

import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from s3fs import S3FileSystem

from tests.s3_store import ENVIRONMENT, IN_ANSWERS, IN_UPLOADS, KINDS, Fault, Store
from tests.shared_project import SharedProject, damaged_objects
from tests.soak.trials import Trial, main

_MEMORY = "/dev/shm"  # DVC syncs its databases; on a disk that is half of the time
_COUNTS = (1, 2, 1000)  # requests that have the fault; DVC's repetitions of a request end before the last of them
_REQUESTS = {"upload": 5, "answer": 7, "any": 14}  # of a push or pull without a fault, those that have such a content


@contextmanager
def fewer_repetitions() -> Iterator[None]:
    """The environment of the trials: each request is made three times, not 25 times, so that a trial takes seconds."""
    with (
        patch.dict(os.environ, ENVIRONMENT | {"AWS_MAX_ATTEMPTS": "1"}),
        patch.object(S3FileSystem, "retries", 3),
    ):
        logging.disable(logging.CRITICAL)  # of DVC, which reports each fault
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def survived(trials: int) -> int:
    """Runs trials with faults of all kinds; returns the number that held."""
    held = 0
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with fewer_repetitions(), tempfile.TemporaryDirectory(dir=place) as made, Store() as store:
        origin = SharedProject(Path(made) / "origin", store, "origin")
        origin.make()
        if error := origin.push():
            raise error
        for number in range(trials):
            command, fault = drawn(number)
            wrong = trial(Path(made) / str(number), store, origin, command, fault)
            held += not wrong
            if wrong:
                print(f"{number}: {command} with {fault}: {wrong}", file=sys.stderr, flush=True)
    return held


def drawn(number: int) -> tuple[str, Fault]:
    """The command and the fault of a trial; the same in every run."""
    rng = random.Random(number)
    command = ("push", "pull")[number % 2]
    kinds = [kind for kind in KINDS if not kind.endswith("upload") or command == "push"]
    kind = kinds[number // 2 % len(kinds)]
    most = _REQUESTS["upload" if kind in IN_UPLOADS else "answer" if kind in IN_ANSWERS else "any"]
    return command, Fault(kind, rng.randrange(most), rng.choice(_COUNTS), rng.random())


def trial(folder: Path, store: Store, origin: SharedProject, command: str, fault: Fault) -> str:
    """Runs a command with a fault and again without it; returns what was wrong, or ""."""
    prefix = "origin" if command == "pull" else folder.name
    project = SharedProject(folder, store, prefix).follow(origin)
    if command == "push":
        project.make()
    project.wait_at_most(1 if fault.kind == "hang" else 60)
    with store.failing(fault):
        error = getattr(project, command)()
    project.wait_at_most(60)
    if not store.struck and error is None:
        return "the fault did not strike"
    wrong = _damage(project, store, origin, prefix)
    if wrong:
        return f"accepted {wrong} ({error!r})"
    # DVC does not verify the list of a folder and keeps it in its index, until a pull that transfers something has ended.
    error = getattr(project, command)() and getattr(project, command)()
    if error:
        return f"the same command fails twice without the fault: {error!r}"
    wrong = _damage(project, store, origin, prefix)
    if wrong:
        return f"accepted {wrong} at last"
    clone = (
        project if command == "pull" else SharedProject(folder.with_name(f"{folder.name}-clone"), store, prefix).follow(origin)
    )
    error = clone.pull()
    return f"a clone cannot pull: {error!r}" if error else "" if clone.contents() == origin.contents() else "outputs differ"


def _damage(project: SharedProject, store: Store, origin: SharedProject, prefix: str) -> str:
    """What is not as it was made, in the cache, the store and the work tree."""
    right = origin.contents()
    wrong = [name for name, content in project.contents().items() if right.get(name) != content]
    return ", ".join([*project.damaged(), *damaged_objects(store, prefix), *wrong])


ROWS = (
    Trial(
        "faults of an S3 server during dvc push and dvc pull: errors, timeouts, lost connections, cut and flipped content",
        300,
        "nothing damaged is accepted; the same command, run twice at most, finishes the work",
        survived,
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
