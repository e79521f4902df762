"""What DVC and experiments need of the Git repository in the current folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from resnet.core.errors import UserError
from tasks.stage.git import git, git_or_none

SHALLOW = "this clone has only a part of the history, in which `dvc exp run --temp` loses its experiment without a message"
UNSHALLOW = "git fetch --unshallow"
_OWNED_BY_ANOTHER = "; To add an exception for this directory, call: "  # Git's advice, which ends in a command
# In the reflog, as DVC writes it there: an experiment detaches HEAD, also where it is detached, and puts it back at its end.
_DETACHED = re.compile(r"checkout: moving from (\S+) to ([0-9a-f]{40})")
_AGAIN = re.compile(r"checkout: moving from [0-9a-f]{40} to [0-9a-f]{40}")
_PUT_BACK = re.compile(r"\w+: Restore HEAD to '[0-9a-f]{40}'")
_REMEDIES = {
    "not a git repository": "git init && git add --all && git commit --message first",
    "does not have any commits": "git add --all && git commit --message first",
}


def repository_fault() -> tuple[str, str] | None:
    """Why Git cannot read a commit here, with its own reason, and the command that corrects it. None if it can."""
    try:
        latest_commit()
    except UserError as error:
        reason, _, command = str(error).partition(_OWNED_BY_ANOTHER)
        known = (remedy for part, remedy in _REMEDIES.items() if part in reason)
        return reason, command or next(known, "git status, which may say more")
    return None


def latest_commit() -> str:
    """The latest commit as `hash date subject`.

    Raises:
        UserError: there is none, or Git refuses to read the repository.
    """
    return git(Path(), "log", "-1", "--format=%h %cs %s")


def needs_git() -> bool:
    """Whether DVC needs a repository; its setting `core.no_scm` says that it does not."""
    for name in ("config.local", "config"):
        path = Path(".dvc", name)
        for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
            key, _, value = line.partition("=")
            if key.strip() == "no_scm":
                return value.strip().lower() != "true"
    return True


def is_shallow() -> bool:
    """Whether the clone was made with `--depth`, so that its oldest commits lack their parents."""
    return git_or_none(Path(), "rev-parse", "--is-shallow-repository") == "true"


def branch_before_experiment() -> str | None:
    """The branch on which a `dvc exp run` began that was killed: DVC detaches HEAD for an experiment, and returns at its end.

    Returns:
        None if HEAD is on a branch, or is detached for another reason, as in a checkout of a CI system. The experiment may
        still be running.
    """
    left = _left_branch()
    # DVC removes EXEC_BASELINE at the end of an experiment, and leaves EXEC_HEAD.
    if left is None or _commit("refs/exps/exec/EXEC_BASELINE") is None:
        return None
    return left.branch if left.commit == _commit("refs/exps/exec/EXEC_HEAD") else None


def branch_before_ended_experiments() -> str | None:
    """The branch that HEAD was on before it was detached as DVC does it, if an experiment has ended since, or failed.

    Such an experiment removes the sign by which `branch_before_experiment` knows one that was killed before it. A person who
    names the whole hash of a commit leaves the same in the reflog.

    Returns:
        None if HEAD is on a branch, or was detached in another way.
    """
    left = _left_branch()
    if left is None or _commit("refs/exps/exec/EXEC_BASELINE") is not None:
        return None
    # One that failed has not moved HEAD, which leaves nothing in the reflog.
    return left.branch if left.put_back or left.commit == _commit("refs/exps/exec/EXEC_HEAD") else None


def unstarted_experiments() -> list[str]:
    """The names of experiments that a `dvc exp run` prepared and did not begin, because it failed or was killed before.

    `dvc queue status` does not list them, but the next `dvc exp run` runs them too. If one is being prepared now, it is among
    them.
    """
    prepared = git_or_none(Path(), "reflog", "show", "--format=%gs", "refs/exps/stash") or ""
    return [line.rpartition(":")[2] for line in prepared.splitlines() if line.startswith("commit: dvc-exp:")]


def has_unseen_change(path: Path) -> bool:
    """Whether a file differs from the last commit, but `git status` takes it for the same.

    Git compares the size and the second of the last change first. DVC sometimes writes a file of the same size in the second
    that Git remembers.
    """
    committed = git_or_none(Path(), "rev-parse", "--verify", "--quiet", f"HEAD:./{path}")
    if committed is None or not path.is_file() or git_or_none(Path(), "status", "--porcelain", "--", str(path)):
        return False
    return git_or_none(Path(), "hash-object", "--", str(path)) != committed


@dataclass(frozen=True)
class _Left:
    """A branch that HEAD was taken off.

    Attributes:
        branch: its name; it still exists.
        commit: to which HEAD was moved.
        put_back: whether an experiment has put HEAD back to no branch since then.
    """

    branch: str
    commit: str
    put_back: bool


def _left_branch() -> _Left | None:
    if git_or_none(Path(), "symbolic-ref", "--quiet", "HEAD") is not None:
        return None
    put_back = False
    for move in (git_or_none(Path(), "reflog", "--format=%gs", "HEAD") or "").splitlines():
        put_back = put_back or _PUT_BACK.fullmatch(move) is not None
        if move.startswith("checkout: ") and not _AGAIN.fullmatch(move):
            detached = _DETACHED.fullmatch(move)
            if detached is None or _commit(f"refs/heads/{detached[1]}") is None:
                return None
            return _Left(detached[1], detached[2], put_back)
    return None


def _commit(reference: str) -> str | None:
    return git_or_none(Path(), "rev-parse", "--verify", "--quiet", reference)
