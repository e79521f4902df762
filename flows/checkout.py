"""A run's own work tree: a clone of this repository at a revision that shares its DVC cache.

Clones, unlike Git worktrees, have refs and an index of their own, so that runs meet nowhere in Git; and unlike `dvc exp run
--temp` they leave the stages to the flow.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.locks import held, is_held
from resnet.core.errors import UserError
from tasks.stage.git import git

_NOBODY = {"NAME": "train-resnet", "EMAIL": "train-resnet@localhost"}


def resolve(folder: Path, rev: str) -> str:
    """The commit that a revision names.

    Raises:
        UserError: there is no such revision, no commit yet, or no Git repository.
    """
    try:
        top = git(folder, "rev-parse", "--show-toplevel")
    except UserError as error:
        if (folder / ".git").exists():
            raise  # Git has something else to say of it, such as whose it is
        raise UserError(
            f"{folder} is not a Git repository, and a run is an experiment in one: `git init` and commit."
        ) from error
    if Path(top).resolve() != folder.resolve():
        raise UserError(f"{folder} is a folder within the Git repository {top}; make it a repository of its own: `git init`.")
    try:
        return git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    except UserError as error:
        if rev == "HEAD":
            raise UserError(f"the Git repository {folder} has no commit yet; commit what is there first.") from error
        raise UserError(f"there is no revision {rev!r} in {folder}; `git log --oneline --all` lists them.") from error


def changed_files(folder: Path, rev: str = "HEAD") -> list[str]:
    """Files of the work tree that differ from a revision, new ones that are not ignored among them."""
    tracked = git(folder, "diff", "--name-only", "-z", rev).split("\0")
    untracked = git(folder, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return sorted({name for name in (*tracked, *untracked) if name})


def snapshot(folder: Path, base: str = "HEAD", new: Iterable[str] | None = None) -> str:
    """The work tree as a Git tree, without a trace in its index.

    Args:
        folder: the work tree.
        base: a tree; what is in it comes as it is now.
        new: files to be in it beside that, where they exist; all that are not ignored unless given.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git(folder, "read-tree", base, environment=environment)
        if new is None:
            git(folder, "add", "--all", environment=environment)
        else:
            git(folder, "add", "--update", environment=environment)
            there = [name for name in new if (folder / name).exists()]
            git(folder, "add", "--force", "--", *there, environment=environment)
        return git(folder, "write-tree", environment=environment)


def commit_experiment(folder: Path, commit: str, tree: str, name: str) -> tuple[str, str]:
    """Makes a commit that DVC takes for an experiment: a child of its baseline under `refs/exps/`.

    DVC's own `exp save` stashes the work tree meanwhile: whoever is ended in it loses what was not committed, and the index.

    Returns:
        The commit, and the name that its ref must have.
    """
    environment = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _NOBODY.items()}
    try:
        git(folder, "var", "GIT_COMMITTER_IDENT")
        environment = {}
    except UserError:  # Git does not know who works here
        pass
    made = git(folder, "commit-tree", tree, "-p", commit, "-m", f"dvc: commit experiment {name}", environment=environment)
    return made, f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


@contextmanager
def private_folder(folder: Path, name: str, keep: bool, on_kept: Callable[[Path], None]) -> Iterator[Path]:
    """An empty folder beside a repository's DVC cache, so that files can be linked out of that; removed in the end.

    Args:
        folder: the repository.
        name: begins the name of the folder.
        keep: leaves the folder where it is, and calls `on_kept` with it.
        on_kept: see `keep`.
    """
    parent = folder / ".dvc" / "tmp" / "flows" / "checkouts"
    with ExitStack() as stack:
        with held(parent / "all.lock"):
            _remove_abandoned(parent)
            made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
            alive = made.with_name(f"{made.name}.lock")
            stack.enter_context(held(alive))
        try:
            yield made
        finally:
            if keep:
                on_kept(made)
            else:
                shutil.rmtree(made, ignore_errors=True)
            alive.unlink()


def _remove_abandoned(parent: Path) -> None:
    """Removes the checkouts of runs that were killed, and nothing that was kept on request."""
    for alive in parent.glob("*?-*.lock"):
        if not is_held(alive):
            shutil.rmtree(alive.with_suffix(""), ignore_errors=True)
            alive.unlink(missing_ok=True)  # its run may be ending


def clone(folder: Path, into: Path, commit: str, tree: str | None = None) -> None:
    """Clones a repository.

    Args:
        folder: the repository.
        into: an empty folder.
        commit: to check out.
        tree: what to put into the work tree instead of the commit's own files.

    Raises:
        UserError: Git fails.
    """
    # Objects are borrowed, not copied: the clone goes before Git could tidy them away.
    git(folder, "clone", "--quiet", "--shared", "--no-checkout", "--", str(folder), str(into))
    git(into, "checkout", "--quiet", "--detach", commit)
    if tree is not None:
        git(into, "read-tree", "--reset", "-u", tree)
    settings = folder / ".dvc" / "config.local"
    if settings.is_file():
        shutil.copy(settings, into / ".dvc" / "config.local")


def experiment_name(wanted: str, taken: str) -> str:
    """A name that Git and DVC take: what they do not becomes a hyphen.

    Args:
        wanted: what a person or Prefect calls it.
        taken: the refs that there are, a line each; a number is added to a name that is among them.

    Returns:
        A name of letters, digits and `._-`, at most 100 of them, that begins and ends in a letter, digit or underscore.
    """
    name = re.sub(r"[^\w.]+|\.{2,}|\.lock\b", "-", wanted, flags=re.ASCII)[:100].strip(".-") or "run"
    others = {line.rpartition("/")[2] for line in taken.splitlines()}
    number, free = 1, name
    while free in others:
        number += 1
        free = f"{name}-{number}"
    return free
