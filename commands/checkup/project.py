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

from commands.check import check_source
from commands.checkup.finding import Finding
from resnet.core.errors import UserError
from tasks.stage.git import git_or_none
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params

DEFAULT_API = "http://127.0.0.1:4200/api"
_LEAST_FREE = 5e9  # bytes: several models, prepared data and a new environment
_FEW_FILES = 200_000  # of the cache that are counted; more take seconds


def check_parameters() -> Iterator[Finding]:
    """Whether `params.yaml` and the source would be accepted."""
    try:
        params = load_params(PARAMS_YAML, read_graph(DVC_YAML))
        check_source(params.sections["ingest"].model_dump()["source"])
    except UserError as error:
        yield Finding("parameters", str(error), wrong=True, mend="train-resnet check, after each change")
    else:
        yield Finding("parameters", f"{PARAMS_YAML} is accepted, and its source is there")


def check_git() -> Iterator[Finding]:
    """A repository with a commit, and an author for experiments, which are commits."""
    if shutil.which("git") is None:
        yield Finding("git", "not installed", wrong=True, mend="install git")
        return
    revision = git_or_none(Path(), "log", "-1", "--format=%h %cs %s")
    if revision is None:
        yield Finding("git", "no repository with a commit here", wrong=True, mend="git init && git add . && git commit")
        return
    changed = (git_or_none(Path(), "status", "--porcelain") or "").splitlines()
    state = f"{len(changed)} files are not committed" if len(changed) != 1 else "1 file is not committed"
    yield Finding("git", f"at {revision.strip()}; {state if changed else 'nothing to commit'}")
    if git_or_none(Path(), "var", "GIT_COMMITTER_IDENT") is None:
        mend = "git config user.name NAME && git config user.email ADDRESS"
        yield Finding("git", "no author is set, so experiments cannot be saved", wrong=True, mend=mend)


def check_dvc() -> Iterator[Finding]:
    """The state of the stages, the cache with its disk, and remotes."""
    if not Path(".dvc").is_dir():
        yield Finding("dvc", "not set up in this folder", wrong=True, mend="dvc init")
        return
    rwlock = Path(".dvc", "tmp", "rwlock")
    if rwlock.exists() and not rwlock.stat().st_size:
        yield Finding("dvc", f"{rwlock} is empty, after a kill, and blocks all", wrong=True, mend=f"rm {rwlock}")
        return
    status = _run(sys.executable, "-m", "dvc", "status", "--json")
    try:
        changed: dict[str, Any] = json.loads(status or "")
    except ValueError:
        yield Finding("dvc", "`dvc status` fails", wrong=True, mend="dvc status, which says why")
        return
    stale = f"{', '.join(changed)} would run" if changed else "everything is up to date"
    yield Finding("dvc", stale, mend="train-resnet why says why; dvc repro brings all up to date" if changed else "")
    yield from check_cache(Path((_run(sys.executable, "-m", "dvc", "cache", "dir") or "").strip() or ".dvc/cache"))
    remotes = (_run(sys.executable, "-m", "dvc", "remote", "list") or "").split()[::2]
    yield Finding(
        "remote", ", ".join(remotes) or "none: data and models are on this machine alone", mend="" if remotes else _REMOTE
    )


_REMOTE = "dvc remote add --default NAME URL && dvc push, to share or keep them"


def check_cache(cache: Path) -> Iterator[Finding]:
    """Where the cache is, how large, and what room is left there and here."""
    size, files, more = _size(cache)
    amount = f"{'more than ' if more else ''}{size / 1e9:,.1f} GB in {files:,} files"
    yield Finding("cache", f"{cache}, {amount}" if cache.is_dir() else f"{cache} is not there yet")
    places = {os.stat(path).st_dev: path for path in (cache, Path.cwd()) if path.is_dir()}  # noqa: PTH116
    for place in places.values():
        free = shutil.disk_usage(place).free
        mend = (
            "dvc gc --workspace --all-experiments, which keeps what the work tree and experiments use"
            if free < _LEAST_FREE
            else ""
        )
        yield Finding("disk", f"{free / 1e9:,.1f} GB are free at {place}", free < _LEAST_FREE, mend)


def _size(folder: Path) -> tuple[int, int, bool]:
    """Bytes and number of the files below a folder, and whether there are more than were counted."""
    size = files = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if files >= _FEW_FILES:
                return size, files, True
            try:
                size += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 (of very many files)
            except OSError:
                continue
            files += 1
    return size, files, False


def check_prefect() -> Iterator[Finding]:
    """Whether the server answers that Prefect is set to; without one flows start a temporary one."""
    api = os.environ.get("PREFECT_API_URL") or _configured_api()
    if _answers(api or DEFAULT_API):
        yield Finding("prefect", f"a server answers at {api or DEFAULT_API}")
    elif api is None:
        yield Finding("prefect", "no server; flows start a temporary one", mend="prefect server start, for the UI")
    else:
        mend = "prefect server start, or prefect config unset PREFECT_API_URL"
        yield Finding("prefect", f"it is set to {api}, where no server answers", wrong=True, mend=mend)


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
    except (OSError, ValueError):  # what answers with an error is no server of Prefect's, or one that wants a key
        return False


def _run(*command: str) -> str | None:
    """What a command prints, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
