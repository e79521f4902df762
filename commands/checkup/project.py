"""The project: parameters, Git, DVC, its cache, the disk, and Prefect's server."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.check import check_source, check_weights, class_level, describe_source
from commands.checkup.findings import Finding
from resnet.core.errors import UserError
from tasks.stage.git import git_or_none
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params

DEFAULT_API = "http://127.0.0.1:4200/api"
_LEAST_FREE = 5e9  # bytes: enough for several models, prepared data and a new environment
_MOST_FILES = 200_000  # of the cache are counted; more would take seconds


def check_parameters() -> Iterator[Finding]:
    """Whether `train-resnet check` would accept `params.yaml` and the paths in it."""
    try:
        graph = read_graph(DVC_YAML)
        params = load_params(PARAMS_YAML, graph)
        source = params.value("ingest.source", str)
        check_source(source, graph)
        check_weights(params.value("build.weights", str), graph)
        describe_source(source, class_level(params))
    except UserError as error:
        yield Finding("parameters", str(error), wrong=True, remedy="train-resnet check, after each change")
    else:
        yield Finding("parameters", f"{PARAMS_YAML} is accepted, and the paths in it exist")


def check_git() -> Iterator[Finding]:
    """Whether there is a repository with a commit, and an author: experiments are commits."""
    if shutil.which("git") is None:
        yield Finding("git", "not installed", wrong=True, remedy="install git")
        return
    revision = git_or_none(Path(), "log", "-1", "--format=%h %cs %s")
    if revision is None:
        yield Finding("git", "no repository with a commit here", wrong=True, remedy="git init && git add . && git commit")
        return
    changed = (git_or_none(Path(), "status", "--porcelain") or "").splitlines()
    state = f"{len(changed)} files are not committed" if len(changed) != 1 else "1 file is not committed"
    yield Finding("git", f"at {revision.strip()}; {state if changed else 'nothing to commit'}")
    if git_or_none(Path(), "var", "GIT_COMMITTER_IDENT") is None:
        remedy = "git config user.name NAME && git config user.email ADDRESS"
        yield Finding("git", "no author is set, so experiments cannot be saved", wrong=True, remedy=remedy)


def check_dvc() -> Iterator[Finding]:
    """The state of the stages, the cache with its disk, and remotes."""
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
        yield Finding("dvc", "`dvc status` fails", wrong=True, remedy="dvc status, which says why")
        return
    stale = f"{', '.join(changed)} would run" if changed else "everything is up to date"
    yield Finding("dvc", stale, remedy="train-resnet why gives the reasons; dvc repro runs them" if changed else "")
    yield from check_cache(Path((_run(sys.executable, "-m", "dvc", "cache", "dir") or "").strip() or ".dvc/cache"))
    remotes = (_run(sys.executable, "-m", "dvc", "remote", "list") or "").split()[::2]
    yield Finding(
        "remote", ", ".join(remotes) or "none: data and models are only on this machine", remedy="" if remotes else _REMOTE
    )


_REMOTE = "dvc remote add --default NAME URL && dvc push, to share them or back them up"


def check_cache(cache: Path) -> Iterator[Finding]:
    """Where the cache is, how large it is, and how much space is left there and in the current folder."""
    size, files, more = _size(cache)
    amount = f"{'more than ' if more else ''}{size / 1e9:,.1f} GB in {files:,} files"
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
    api = os.environ.get("PREFECT_API_URL") or _configured_api()
    if _answers(api or DEFAULT_API):
        yield Finding("prefect", f"a server answers at {api or DEFAULT_API}")
    elif api is None:
        yield Finding("prefect", "no server; flows start a temporary one", remedy="prefect server start, for the UI")
    else:
        remedy = "prefect server start, or prefect config unset PREFECT_API_URL"
        yield Finding("prefect", f"PREFECT_API_URL is {api}, where no server answers", wrong=True, remedy=remedy)


def _configured_api() -> str | None:
    shown = _run(sys.executable, "-m", "prefect", "config", "view") or ""
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
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
