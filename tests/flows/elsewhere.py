"""A worker of a Prefect work pool that shares nothing with the project but Git, the DVC remote and the server."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.forks import like_from_a_shell
from tests.project import Project

POOL = "train-resnet-cpu"


@contextmanager
def working(project: Project, place: Path) -> Iterator["subprocess.Popen[str]"]:
    """Runs a worker as another machine would: it shares the repository, the DVC remote and the server, and nothing else."""
    own = {"HOME": "home", "TMPDIR": "scratch", "DVC_SITE_CACHE_DIR": "site", "PREFECT_HOME": "prefect", "PWD": ""}
    for folder in own.values():
        (place / folder).mkdir(parents=True, exist_ok=True)
    with (place / "worker.log").open("a") as log:
        worker = subprocess.Popen(
            ["prefect", "worker", "start", "--pool", POOL],
            cwd=place,
            env=project.environment | {name: str(place / folder) for name, folder in own.items()},
            stdout=log,
            stderr=log,
            text=True,
            preexec_fn=like_from_a_shell,  # noqa: PLW1509 - no other thread holds a lock
        )
    try:
        yield worker
        worker.terminate()
        worker.wait(60)
    finally:
        worker.kill()
        worker.wait()


def share(project: Project, folder: Path) -> Path:
    """Gives a project a Git repository and a DVC remote that others reach, and pushes everything; returns the repository."""
    origin, store = folder / "origin.git", folder / "store"
    store.mkdir()
    project.run("git", "init", "--quiet", "--bare", str(origin))
    project.run("git", "remote", "add", "origin", str(origin))
    project.run("dvc", "remote", "add", "--quiet", "--default", "store", str(store))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "a remote")
    project.run("git", "push", "--quiet", "origin", "HEAD")
    project.run("dvc", "push", "--quiet")
    return origin
