"""How Git explains that an input of a stage changed: its files and its commits since the recorded hash.

The commit of the recorded content is found by hashing the input as DVC does, in one commit after another. When `dvc.lock` was
committed does not matter.
"""

import io
import tarfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from resnet.core.checksums import md5_of
from resnet.core.errors import UserError, printable
from resnet.core.words import counted
from tasks.stage.git import git_bytes, git_or_none
from tasks.stage.graph import is_code

_MOST_COMMITS = 5  # are named one by one
_MOST_SEARCHED = 100  # commits of a file or folder; to hash a folder of one takes 15 ms


def changes_since(path: Path, recorded: str) -> str:
    """The end of a sentence: the files of an input that changed since a stage read it, then a line for each commit.

    It is empty if Git does not know the input, and for a folder that is not code, which may be large.

    Args:
        path: of a file or a folder.
        recorded: its hash in `dvc.lock`.
    """
    name = path.as_posix()
    if (path.is_dir() and not is_code(path)) or not git_or_none(Path(), "ls-files", "--", name):
        return ""
    commits, origin = _commits_since(path, recorded)
    unsaved = _differing("HEAD", name) | set(
        _split(git_or_none(Path(), "ls-files", "-z", "--others", "--exclude-standard", "--", name))
    )
    changed = unsaved | (_differing(origin, name) if origin else set())
    marked = [f"{_below(path, file)}{' (not committed)' * (file in unsaved)}" for file in sorted(changed)]
    text = f": {', '.join(marked)}" if marked and path.is_dir() else " (not committed)" * bool(unsaved)
    more = [f"and {counted(len(commits) - _MOST_COMMITS, 'more commit')}"] if len(commits) > _MOST_COMMITS else []
    return text + "".join(f"\n    {line}" for line in [*commits[:_MOST_COMMITS], *more])


def _commits_since(path: Path, recorded: str) -> tuple[list[str], str | None]:
    """Commits that changed a file or folder after it had the recorded content, and the commit in which it had that.

    Without such a commit the content was never committed, or long ago: only the latest commit is given then.
    """
    log = git_or_none(Path(), "log", f"--max-count={_MOST_SEARCHED}", "--format=%H %h %cs %s", "--", path.as_posix()) or ""
    commits: list[str] = []
    for line in log.splitlines():
        commit, _, shown = line.partition(" ")
        if _hash_at(commit, path) == recorded:
            return commits, commit
        commits.append(printable(shown))
    return commits[:1], None


@cache  # several stages depend on one folder
def _hash_at(commit: str, path: Path) -> str:
    """The hash that DVC would record for a file or folder of a commit."""
    try:
        if not path.is_dir():
            return md5_of(git_bytes(Path(), "show", f"{commit}:./{path.as_posix()}"))
        return _folder_hash(git_bytes(Path(), "archive", "--format=tar", commit, "--", path.as_posix()), path)
    except UserError:  # the commit does not have it
        return ""


def _folder_hash(packed: bytes, path: Path) -> str:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree: Any = Tree()  # type: ignore[no-untyped-call]
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file:
                key = PurePosixPath(_below(path, member.name)).parts
                tree.add(key, None, HashInfo("md5", md5_of(file.read())))
    tree.digest()
    return str(tree.hash_info.value)


def _differing(commit: str, name: str) -> set[str]:
    """Files below `name` that differ between a commit and the work tree."""
    return set(_split(git_or_none(Path(), "diff", "--name-only", "--no-renames", "--relative", "-z", commit, "--", name)))


def _split(names: str | None) -> list[str]:
    return [name for name in (names or "").split("\0") if name]


def _below(folder: Path, file: str) -> str:
    return PurePosixPath(file).relative_to(folder.as_posix()).as_posix()
