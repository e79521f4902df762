"""Git commands in a given folder, as text or bytes, with Git's own reason when they fail."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from resnet.core.errors import UserError

# The list that `git rev-parse --local-env-vars` prints, as far as it names a repository.
_OF_A_REPOSITORY = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
}
_ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}  # the language of this program's own sentences
_LINES = 8  # of Git's own message; it may list every file of a repository


def git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """The output of a Git command, without the newline at its end.

    Bytes that are not UTF-8, as in names of files, become surrogates, which Python turns back when they are used as paths.

    Args:
        folder: to run it in.
        arguments: of the command, beginning with its name.
        environment: variables to set.

    Raises:
        UserError: Git is not installed or fails; the message ends in its own reason and advice, in English.
    """
    return git_bytes(folder, *arguments, environment=environment).decode(errors="surrogateescape").rstrip("\n")


def git_bytes(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
    """The output of a Git command as it is; see `git`."""
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**outside_of_git(), **_ENGLISH, **(environment or {})},
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise UserError(f"git {arguments[0]} could not be run in {folder}: {error.strerror}; is Git installed?") from error
    if result.returncode:
        said = _in_one_line(result.stderr.decode(errors="replace")) or f"exit code {result.returncode}"
        raise UserError(f"git {arguments[0]} failed in {folder.absolute()}: {said}")
    return result.stdout


def _in_one_line(message: str) -> str:
    """Git's message with its advice, which follows in lines of its own."""
    lines = [" ".join(line.removeprefix("hint:").split()) for line in message.splitlines()]
    lines = [line for line in lines if line]
    text = " ".join(line if line.endswith((".", ",", ":", ";")) else f"{line};" for line in lines[:_LINES])
    return text.removesuffix(";") + (" ..." if len(lines) > _LINES else "")


def git_or_none(folder: Path, *arguments: str) -> str | None:
    """The output of a Git command, or None if it fails, as where there is no repository."""
    try:
        return git(folder, *arguments)
    except UserError:
        return None


def outside_of_git() -> dict[str, str]:
    """The environment without the variables by which a Git hook or alias names its own repository."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
