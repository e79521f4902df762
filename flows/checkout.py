"""The checkout of a run: a clone of this repository at one revision, which shares the repository's DVC cache.

A clone has its own refs and its own index, so concurrent runs do not touch each other's Git state; Git worktrees would share
refs. `dvc exp run --temp` also works in a copy, but it runs the stages by itself; here the flow runs them.
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

_DEFAULT_IDENTITY = {"NAME": "train-resnet", "EMAIL": "train-resnet@localhost"}


def resolve(folder: Path, rev: str) -> str:
    """Returns the hash of the commit that a revision names.

    Raises:
        UserError: the revision does not exist, there is no commit yet, or the folder is not the top of a Git repository.
    """
    try:
        top = git(folder, "rev-parse", "--show-toplevel")
    except UserError as error:
        if (folder / ".git").exists():
            raise  # there is a repository, and Git refuses it for another reason, such as its owner
        raise UserError(
            f"{folder} is not a Git repository, but a run is an experiment on a commit: run `git init` and commit."
        ) from error
    if Path(top).resolve() != folder.resolve():
        raise UserError(
            f"{folder} is a folder within the Git repository {top}, but it must be a repository itself: run `git init` there."
        )
    try:
        return git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    except UserError as error:
        if rev == "HEAD":
            raise UserError(f"the Git repository {folder} has no commit yet; commit the files first.") from error
        raise UserError(f"there is no revision {rev!r} in {folder}; `git log --oneline --all` lists them.") from error


def changed_files(folder: Path, rev: str = "HEAD") -> list[str]:
    """Lists the files of the work tree that differ from a revision, including untracked files that are not ignored."""
    tracked = git(folder, "diff", "--name-only", "-z", rev).split("\0")
    untracked = git(folder, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return sorted({name for name in (*tracked, *untracked) if name})


def snapshot(folder: Path, base: str = "HEAD", new: Iterable[str] | None = None) -> str:
    """Writes the work tree to Git as a tree object and returns its hash; the index of the work tree is not changed.

    Args:
        folder: the work tree.
        base: a tree. Its files are included with their present content.
        new: further files to include if they exist, even if ignored; by default, every file that is not ignored.
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
    """Makes a commit that DVC recognises as an experiment: a child of its baseline, to be stored under `refs/exps/`.

    DVC's own `exp save` stashes the work tree while it works. A process killed at that moment would lose the uncommitted
    changes and the index.

    Args:
        folder: the repository.
        commit: the baseline.
        tree: the files of the experiment.
        name: of the experiment.

    Returns:
        The hash of the new commit, and the name of the ref that must point to it.
    """
    environment = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _DEFAULT_IDENTITY.items()}
    try:
        git(folder, "var", "GIT_COMMITTER_IDENT")
        environment = {}
    except UserError:  # no user name and e-mail are configured
        pass
    made = git(folder, "commit-tree", tree, "-p", commit, "-m", f"dvc: commit experiment {name}", environment=environment)
    return made, f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


@contextmanager
def private_folder(folder: Path, name: str, keep: bool, on_kept: Callable[[Path], None]) -> Iterator[Path]:
    """Creates an empty folder for a run and removes it when the run ends.

    The folder is within the repository's `.dvc/`, on the same file system as DVC's cache, so that DVC can link files.

    Args:
        folder: the repository.
        name: prefix of the folder's name.
        keep: does not remove the folder, and calls `on_kept` with its path.
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
    """Removes the checkouts of killed runs; a checkout kept on request has no lock file and stays."""
    for alive in parent.glob("*?-*.lock"):
        if not is_held(alive):
            shutil.rmtree(alive.with_suffix(""), ignore_errors=True)
            alive.unlink(missing_ok=True)  # a run that is ending removes it too


def clone(folder: Path, into: Path, commit: str, tree: str | None = None) -> None:
    """Clones a repository.

    Args:
        folder: the repository.
        into: an empty folder.
        commit: the commit to check out.
        tree: the tree to put into the work tree instead of that of the commit.

    Raises:
        UserError: Git fails.
    """
    # --shared uses the objects of the repository without a copy; the clone is removed long before `git gc` could prune them.
    git(folder, "clone", "--quiet", "--shared", "--no-checkout", "--", str(folder), str(into))
    git(into, "checkout", "--quiet", "--detach", commit)
    if tree is not None:
        git(into, "read-tree", "--reset", "-u", tree)
    settings = folder / ".dvc" / "config.local"
    if settings.is_file():
        shutil.copy(settings, into / ".dvc" / "config.local")


def experiment_name(wanted: str, taken: str) -> str:
    """Makes a valid and unused experiment name: characters that Git or DVC reject become hyphens.

    Args:
        wanted: the name given by the user or by Prefect.
        taken: existing refs, one per line. If the name is among them, a number is appended.

    Returns:
        A name of letters, digits and `._-`, of at most 100 characters before the number. It begins and ends with a letter,
        digit or underscore.
    """
    name = re.sub(r"[^\w.]+|\.{2,}|\.lock\b", "-", wanted, flags=re.ASCII)[:100].strip(".-") or "run"
    others = {line.rpartition("/")[2] for line in taken.splitlines()}
    number, free = 1, name
    while free in others:
        number += 1
        free = f"{name}-{number}"
    return free
