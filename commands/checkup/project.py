"""The project: what programs inherit, parameters, Git, DVC, its cache, the disk, and Prefect's server."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.check import examine
from commands.checkup.findings import Finding
from commands.environment import inherited, obstacles
from commands.repository import (
    SHALLOW,
    UNSHALLOW,
    branch_before_ended_experiments,
    branch_before_experiment,
    has_unseen_change,
    is_shallow,
    latest_commit,
    repository_fault,
    unstarted_experiments,
)
from resnet.core.errors import UserError, printable
from resnet.core.words import agreeing, counted
from tasks.stage.git import git_or_none
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML

DEFAULT_API = "http://127.0.0.1:4200/api"
_LEAST_FREE = 5e9  # bytes: enough for several models, prepared data and a new environment
_MOST_FILES = 200_000  # of the cache are counted; more would take seconds


def check_environment() -> Iterator[Finding]:
    """Whether `dvc repro` can work with the variables that this shell gives to programs."""
    found = [Finding("environment", what, wrong=True, remedy=remedy) for what, remedy in obstacles(inherited())]
    yield from found
    if not found:
        yield Finding("environment", "DVC can work with the shell and the user of this terminal")


def check_parameters() -> Iterator[Finding]:
    """Whether `train-resnet check` would accept `params.yaml` and the paths in it."""
    try:
        found, _ = examine(read_graph(DVC_YAML))
    except UserError as error:
        found = [str(error)]
    for sentence in found:
        yield Finding("parameters", sentence, wrong=True, remedy="train-resnet check, after each change")
    if not found:
        yield Finding("parameters", f"{PARAMS_YAML} is accepted, and the paths in it exist")


def check_git() -> Iterator[Finding]:
    """Whether there is a repository with a commit, and an author: experiments are commits."""
    if shutil.which("git") is None:
        yield Finding("git", "not installed", wrong=True, remedy="install git")
        return
    fault = repository_fault()
    if fault:
        yield Finding("git", fault[0], wrong=True, remedy=fault[1])
        return
    revision, changed = latest_commit(), (git_or_none(Path(), "status", "--porcelain") or "").splitlines()
    state = f"{counted(len(changed), 'file')} {agreeing(len(changed), 'is', 'are')} not committed"
    yield Finding("git", f"at {printable(revision)}; {state if changed else 'nothing to commit'}")
    if not _experiment_runs():
        yield from _after_killed_experiment()
        yield from _before_an_experiment()
    if is_shallow():
        yield Finding("git", SHALLOW, wrong=True, remedy=UNSHALLOW)
    if git_or_none(Path(), "var", "GIT_COMMITTER_IDENT") is None:
        remedy = "git config user.name NAME && git config user.email ADDRESS"
        yield Finding("git", "no author is set, so experiments cannot be saved", wrong=True, remedy=remedy)


def _after_killed_experiment() -> Iterator[Finding]:
    branch, before = branch_before_experiment(), branch_before_ended_experiments()
    if before:
        found = f"HEAD is on no branch; before the last experiments it was on {printable(before)}"
        yield Finding("git", found, remedy=f"git switch {shlex.quote(before)}, unless you took it off yourself")
    if branch is None:
        return
    back = f"git switch {shlex.quote(branch)} && git diff HEAD {PARAMS_YAML}"
    yield Finding(
        "git",
        "a killed `dvc exp run` has left HEAD on no branch, and its parameters; your changes are here or in `git stash list`",
        wrong=True,
        remedy=f"git branch NAME if you have committed since, then {back}",
    )


def _before_an_experiment() -> Iterator[Finding]:
    """What a `dvc exp run` that failed before its first stage has left for the next one."""
    left = unstarted_experiments()
    if left:
        names = f"{agreeing(len(left), 'experiment', 'experiments')} {', '.join(map(printable, left))}"
        yield Finding(
            "git",
            f"a `dvc exp run` failed before its first stage; the next one would also run its {names}",
            wrong=True,
            remedy="git update-ref -d refs/exps/stash",
        )
    if has_unseen_change(PARAMS_YAML):
        yield Finding(
            "git",
            f"Git does not see that {PARAMS_YAML} differs from the last commit, because its size and time are the same",
            wrong=True,
            remedy=f"touch {PARAMS_YAML}, then git diff HEAD {PARAMS_YAML}",
        )


def _experiment_runs() -> bool:
    """Whether a process of DVC works on an experiment in this folder. Between two stages it holds none of DVC's locks."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").samefile(".")
        except OSError:  # it has ended, or is that of another user
            continue
        if here and any(b"dvc" in word for word in words) and {b"exp", b"experiments"} & {*words}:
            return True
    return False


def check_dvc() -> Iterator[Finding]:
    """The state of the stages, and the cache with its disk."""
    if not Path(".dvc").is_dir():
        yield Finding("dvc", "not set up in this folder", wrong=True, remedy="dvc init")
        return
    rwlock = Path(".dvc", "tmp", "rwlock")
    if rwlock.exists() and not rwlock.stat().st_size:
        yield Finding(
            "dvc", f"{rwlock} was left empty by a killed process and blocks DVC", wrong=True, remedy="train-resnet repair"
        )
        return
    status = _run(sys.executable, "-m", "dvc", "status", "--json")
    try:
        changed: dict[str, Any] = json.loads(status or "")
    except ValueError:
        user = _user_of(rwlock)
        fails = Finding("dvc", "`dvc status` fails", wrong=True, remedy="dvc status, which says why")
        yield Finding("dvc", f"in use by process {user}, so its state is not known now") if user else fails
        return
    stale = f"{', '.join(changed)} would run" if changed else "everything is up to date"
    yield Finding("dvc", stale, remedy="train-resnet why gives the reasons; dvc repro runs them" if changed else "")
    yield from check_cache(Path((_run(sys.executable, "-m", "dvc", "cache", "dir") or "").strip() or ".dvc/cache"))


def _user_of(rwlock: Path) -> int | None:
    """The first living process that DVC's file of locks names."""
    try:
        numbers = re.findall(r'"pid":\s*(\d+)', rwlock.read_text("utf-8"))
    except OSError:
        return None
    return next((int(number) for number in numbers if Path("/proc", number).exists()), None)


def check_cache(cache: Path) -> Iterator[Finding]:
    """Where the cache is, how large it is, and how much space is left there and in the current folder."""
    size, files, more = _size(cache)
    amount = f"{'more than ' if more else ''}{size / 1e9:,.1f} GB in {counted(files, 'file')}"
    yield Finding("cache", f"{cache}, {amount}" if cache.is_dir() else f"{cache} does not exist yet")
    places = {os.stat(path).st_dev: path for path in (cache, Path.cwd()) if path.is_dir()}  # noqa: PTH116
    for place in places.values():
        free = shutil.disk_usage(place).free
        remedy = (
            "dvc gc --workspace --all-experiments, which keeps what the work tree and experiments use"
            if free < _LEAST_FREE
            else ""
        )
        yield Finding("disk", f"{free / 1e9:,.1f} GB are free at {place}", free < _LEAST_FREE, remedy)


def _size(folder: Path) -> tuple[int, int, bool]:
    """The size in bytes and the number of the files below a folder, and whether there are more than were counted."""
    size = files = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if files >= _MOST_FILES:
                return size, files, True
            try:
                size += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 (of very many files)
            except OSError:
                continue
            files += 1
    return size, files, False


def check_prefect() -> Iterator[Finding]:
    """Whether the server answers that Prefect is configured for. Without a server, flows start a temporary one."""
    shown = _run(sys.executable, "-m", "prefect", "config", "view")
    if shown is None:
        remedy = "prefect config view, which says why; PREFECT_... variables override its settings"
        yield Finding("prefect", "`prefect config view` fails", wrong=True, remedy=remedy)
        return
    api = _configured_api(shown)
    if _answers(api or DEFAULT_API):
        yield Finding("prefect", f"a server answers at {api or DEFAULT_API}")
    elif api is None:
        remedy = "prefect server start, for the UI; PREFECT_API_URL names a server on another machine"
        yield Finding("prefect", "no server; flows start a temporary one", remedy=remedy)
    else:
        remedy = "prefect server start, or prefect config unset PREFECT_API_URL"
        yield Finding("prefect", f"PREFECT_API_URL is {api}, where no server answers", wrong=True, remedy=remedy)


def _configured_api(shown: str) -> str | None:
    """The address among the settings that Prefect shows, also that of a server which flows/plugin.py found."""
    for line in shown.splitlines():
        name, _, value = line.strip().partition("=")
        if name == "PREFECT_API_URL":
            return value.strip().split(" ")[0].strip("'\"") or None
    return None


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=5):
            return True
    except (OSError, ValueError):  # also HTTP errors: another program answers, or Prefect requires a key
        return False


def _run(*command: str) -> str | None:
    """The standard output of a command, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
