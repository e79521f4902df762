"""The project on a worker's machine: a clone that stays between runs, with DVC's cache, the checkpoints and the runs' records.

Prefect's step `git_clone` in `prefect.yaml` gets the code of the flows into a folder of the run's own, which the worker removes
when the run ends. Nothing that a later run needs may lie there. The variable `TRAIN_RESNET_WORKER`, which `prefect.yaml` sets,
names the folder of the clones that stay, one for each repository. In such a clone a killed run is taken up by the next one.

Data come from the DVC remote. Results go to it first, and only then does the experiment go to Git: an experiment that others
can see has all its files, whenever the worker is killed.

`git_clone` writes a token into the address of `origin`, in `.git/config`, which everybody on the machine may read. It is taken
out, and Git gets it from this process by a credential helper: it is in no file and in no list of processes.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flows.checkout import experiment_name
from flows.locks import held
from resnet.core.errors import UserError
from tasks.stage.git import git, git_or_none

VARIABLE = "TRAIN_RESNET_WORKER"
_QUIET = {"GIT_TERMINAL_PROMPT": "0"}  # nobody is there to type a password
_USER, _PASSWORD = "ORIGIN_USERNAME", "ORIGIN_PASSWORD"  # in the environment of this process and of its children
# gitcredentials(7): a helper that begins with ! is a command of the shell, and gets the operation as its argument.
_HELPER = (
    f'!f() {{ test "$1" = get && test -n "${_USER}" && printf "username=%s\\npassword=%s\\n" "${_USER}" "${_PASSWORD}"; }}; f'
)
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


def _keep_out_of_files(project: Path) -> str:
    """Moves user and password from the address of `origin` to the environment of this process; returns the address."""
    url = git_or_none(project, "remote", "get-url", "origin") or "origin"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.username is None:
        return url
    os.environ[_USER], os.environ[_PASSWORD] = unquote(parts.username), unquote(parts.password or "")
    git(project, "config", "remote.origin.url", _without_password(url))
    return _without_password(url)


def _use_helper(home: Path, url: str) -> None:
    """Lets Git ask the environment for user and password, if they are there; otherwise this user's own settings count."""
    parts = urlsplit(url)
    key = f"credential.{parts.scheme}://{parts.netloc}.helper"
    if parts.scheme in {"http", "https"}:
        git_or_none(home, "config", "--unset-all", key)
        if _USER in os.environ:
            git(home, "config", "--add", key, "")  # other helpers might have another token
            git(home, "config", "--add", key, _HELPER)


def arrive(project: Path, home: Path) -> None:
    """Brings the clone that stays up to date with the repository: its branches and tags, and the commit of this run's code.

    Args:
        project: the folder with the code of this run, a clone too.
        home: see `home_of`; it need not exist.

    Raises:
        UserError: Git cannot fetch, or this user may not push.
    """
    url = _keep_out_of_files(project)
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
        raise UserError(f"the worker could not get the project from Git ({error}): try `git ls-remote {url}` there.") from error
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
    _use_helper(home, url)
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
