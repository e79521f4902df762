"""The project on a worker's machine: a clone that stays between runs, with DVC's cache, the checkpoints and the runs' records.

Prefect's step `git_clone` in `prefect.yaml` gets the code of the flows into a folder of the run's own, which the worker removes
when the run ends. Nothing that a later run needs may lie there. The variable `TRAIN_RESNET_WORKER`, which `prefect.yaml` sets,
names the folder of the clones that stay, one for each repository. In such a clone a killed run is taken up by the next one.

Data come from the DVC remote. Results go to it first, and only then does the experiment go to Git: an experiment that others
can see has all its files, whenever the worker is killed.
"""

import hashlib
import os
import re
from pathlib import Path

from flows.checkout import experiment_name
from flows.locks import held
from resnet.core.errors import UserError
from tasks.stage.git import git, git_or_none

VARIABLE = "TRAIN_RESNET_WORKER"
_QUIET = {"GIT_TERMINAL_PROMPT": "0"}  # nobody is there to type a password
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def home_of(project: Path) -> Path:
    """The clone that stays, of the repository that a project was cloned from; the project itself in runs without a worker.

    Args:
        project: the folder with the code of this run.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return project
    url = _without_password(git_or_none(project, "remote", "get-url", "origin") or "no origin")
    name = experiment_name(url.rstrip("/").removesuffix(".git").rpartition("/")[2], "")
    return Path(folder).expanduser().absolute() / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _without_password(url: str) -> str:
    """An address without user and password: another token is not another repository."""
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url)


def arrive(project: Path, home: Path) -> None:
    """Brings the clone that stays up to date with the repository: its branches and tags, and the commit of this run's code.

    Args:
        project: the folder with the code of this run, a clone too.
        home: see `home_of`; it need not exist.

    Raises:
        UserError: Git cannot fetch, or this user may not push.
    """
    url = git_or_none(project, "remote", "get-url", "origin") or "origin"
    try:
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(home.with_name(f"{home.name}.lock")):
            _update(home, url, git(project, "rev-parse", "HEAD"))
    except OSError as error:
        raise UserError(
            f"{home}, where {VARIABLE} keeps the project on the worker, cannot be written ({error.strerror}); correct the job "
            "variable `env` of the deployment."
        ) from error
    except UserError as error:
        raise UserError(
            f"the worker could not get the project from Git ({error}): try `git ls-remote {_without_password(url)}` there."
        ) from error
    try:
        git(home, "push", "--quiet", "--dry-run", "origin", "HEAD:refs/exps/worker/probe", environment=_QUIET)
    except UserError as error:
        raise UserError(
            f"the worker cannot push experiments to the repository ({error}); give its user a key or a token that may push."
        ) from error


def _update(home: Path, url: str, commit: str) -> None:
    for lock in (home / ".git").rglob("*.lock"):  # of a run that was killed here; nobody else uses this clone
        lock.unlink(missing_ok=True)
    git(home.parent, "init", "--quiet", str(home))
    git(home, "config", "remote.origin.url", url)
    # Its branches are those of the repository, so that `rev` means the same here as at home.
    git(home, "fetch", "--quiet", "--force", "--prune", "--update-head-ok", "origin", *_REFS, environment=_QUIET)
    git(home, "checkout", "--quiet", "--force", "--detach", commit)


def taken_names(home: Path) -> str:
    """The refs of the experiments of the repository, one per line; other workers have pushed some of them."""
    return git(home, "ls-remote", "--quiet", "origin", "refs/exps/*", environment=_QUIET)


def deliver(home: Path, ref: str) -> bool:
    """Pushes an experiment whose files are in the remote.

    Args:
        home: the clone that stays.
        ref: of the experiment.

    Returns:
        False if another experiment got this name in the meantime; the ref is then removed here.

    Raises:
        UserError: Git fails for another reason.
    """
    try:
        git(home, "push", "--quiet", "origin", f"{ref}:{ref}", environment=_QUIET)
    except UserError:
        there = git(home, "ls-remote", "--quiet", "origin", ref, environment=_QUIET).partition("\t")[0]
        if not there:
            raise
        if there == git(home, "rev-parse", ref):  # it was pushed, and the answer was lost
            return True
        git(home, "update-ref", "-d", ref)
        return False
    return True
