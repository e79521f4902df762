"""The program that runs DVC for a flow: requests on standard input, log lines and answers on standard output.

Each run starts one such process, which imports DVC once and leads its own process group. A flow that called DVC in its own
process could not tell the output of a stage from other output. A flow that started `dvc repro` for each of the six stages
would spend 6 s on starting DVC.

The pipe on standard input also shows whether the parent process is alive: it closes when the parent dies, even by SIGKILL. If
it closes while a stage runs, this program ends its process group.

This file imports nothing from the project, because it works on checkouts of any revision.
"""

import hashlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

GRACE_SECONDS = 20.0  # Prefect kills the process of a cancelled run after 30 s
RUNNING = "Running stage '%s':"  # what DVC logs before it runs a stage's command


class _LogPrinter(logging.Handler):
    """Prints DVC's log, except its hints about `git add`, and records whether a stage's command ran."""

    ran = False

    def emit(self, record: logging.LogRecord) -> None:
        self.ran = self.ran or record.msg == RUNNING
        if record.name != "dvc.repo.scm_context":
            print(record.getMessage(), flush=True)


_log = _LogPrinter(logging.INFO)


def look(root: str, stage: str) -> dict[str, Any]:
    """Tells whether a stage is up to date.

    Returns:
        unchanged: the stage is up to date.
        restorable: DVC's cache has the outputs for the present inputs.
        key: a hash of all inputs of the stage; None if it is up to date or a dependency is missing.
        params: the stage's parameters by file; empty where `key` is None.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc.stage.serialize import to_single_stage_lockfile
    from dvc_data.hashfile.hash_info import HashInfo

    _log.setLevel(logging.WARNING)  # DVC logs "restored" for a dry run too
    try:
        with Repo(root) as repo:
            if not repo.status([stage]):
                return {"unchanged": True, "restorable": True, "key": None, "params": {}}
            entry = repo.stage.load_one(name=stage)
            same = not entry.changed_stage() and entry.deps_cached()
            try:
                entry.save_deps()
            except DvcException:  # a dependency is missing; running the stage will report it
                return {"unchanged": False, "restorable": False, "key": None, "params": {}}
            inputs = {key: value for key, value in to_single_stage_lockfile(entry).items() if key != "outs"}
            if not same:  # with the recorded hashes, DVC would take the outputs of the last run for those of the present inputs
                for out in entry.outs:
                    out.hash_info = HashInfo()
            try:
                repo.stage_cache.restore(entry, dry=True)
            except RunCacheNotFoundError:
                restorable = False
            else:
                restorable = True
    finally:
        _log.setLevel(logging.INFO)
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
    return {"unchanged": False, "restorable": restorable, "key": key, "params": inputs.get("params", {})}


def reproduce(root: str, stage: str, environment: dict[str, str]) -> dict[str, Any]:
    """Brings one stage up to date; `ran` in the answer tells whether its command ran.

    Args:
        root: the work tree.
        stage: its name.
        environment: variables to add for the stage's command.
    """
    from dvc.repo import Repo

    before = os.environ.copy()
    os.environ.update(environment)
    _log.ran = False
    try:
        with Repo(root) as repo:
            repo.reproduce(stage, single_item=True)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"ran": _log.ran}


def share_cache(root: str, source: str) -> dict[str, Any]:
    """Makes a clone use the DVC cache of the repository that it was cloned from, and checks out the files in that cache.

    Args:
        root: the clone.
        source: the repository.
    """
    from configobj import ConfigObj  # type: ignore[import-untyped]
    from dvc.repo import Repo

    with Repo(source) as repo:
        cache = repo.cache.legacy.path  # the folder that `dvc cache dir` prints
    # `dvc cache dir` cannot write a path that is not ASCII.
    settings = ConfigObj(os.path.join(root, ".dvc", "config.local"), encoding="utf-8")  # noqa: PTH118
    settings.setdefault("cache", {})["dir"] = cache
    settings.write()
    with Repo(root) as repo:
        repo.checkout(force=True, allow_missing=True)
    return {}


def reach(root: str) -> dict[str, Any]:
    """Checks that the default remote can be read and written; `remote` in the answer is its name, or None if there is none.

    Raises:
        OSError: it cannot be used. Remotes raise exceptions of their own too.
    """
    from dvc.config import NoRemoteError
    from dvc.repo import Repo

    with Repo(root) as repo:
        try:
            remote = repo.cloud.get_remote()
        except NoRemoteError:
            return {"remote": None}
        files, place = remote.fs, remote.path
        if files.protocol in ("local", "file"):
            # DVC would create it, on a disk that nobody else sees.
            if not os.path.isdir(place):  # noqa: PTH112 - this program is as plain as DVC's paths are
                raise FileNotFoundError(f"the folder {place} does not exist on this machine; mount or create it")
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(f"the folder {place} cannot be written")
        elif not files.version_aware:
            # The object of no bytes, which any remote may have: what cannot be written now could not be written after hours.
            files.pipe_file(remote.odb.oid_to_path("d41d8cd98f00b204e9800998ecf8427e"), b"")
        return {"remote": remote.name}


def fetch(root: str) -> dict[str, Any]:
    """Gets from the remote what a run needs: the outputs of the stages that need not run, and files that DVC tracks.

    Returns:
        missing: the stages and files that the remote does not have.
    """
    from dvc.exceptions import DownloadError
    from dvc.repo import Repo

    missing = []
    with Repo(root) as repo:
        # DVC trusts what a remote sends unless told otherwise.
        name = repo.config["core"]["remote"]
        verify = {"remote": {name: {"verify": True}}}
        for stage in _wanted(repo):
            with suppress(DownloadError):
                repo.fetch(targets=[stage.addressing], config=verify)
            if not all(_is_cached(repo, out) for out in stage.outs):
                missing.append(stage.addressing)
        repo.checkout(force=True, allow_missing=True)
    return {"missing": missing}


def _wanted(repo: Any) -> list[Any]:
    """The stages whose inputs and commands are those of `dvc.lock`, in their order, and those of files that DVC tracks."""
    from dvc.repo.reproduce import plan_repro

    graph = repo.index.graph
    changed: set[Any] = set()
    wanted = []
    with repo.lock:
        for stage in plan_repro(graph):  # a stage comes after those that it depends on
            if not changed.isdisjoint(graph.successors(stage)) or stage.changed(allow_missing=True):
                changed.add(stage)
            elif stage.outs:
                wanted.append(stage)
    return wanted


def push(root: str) -> dict[str, Any]:
    """Copies the outputs of the work tree to the remote.

    Raises:
        FileNotFoundError: the cache lacks one. DVC would only warn.
    """
    from dvc.repo import Repo

    with Repo(root) as repo:
        for out in repo.index.outs:
            if not _is_cached(repo, out):
                raise FileNotFoundError(f"{out} is not in DVC's cache, so it cannot be pushed")
        repo.push()
    return {}


def list_experiments(root: str, commits: list[str]) -> dict[str, Any]:
    """Reads experiments for `dvc exp show`, which keeps what it read of each commit: for 200 experiments it would take minutes.

    What cannot be read is left to `dvc exp show`, which then says why.

    Args:
        root: the project that has the experiments.
        commits: theirs.
    """
    from dvc.repo import Repo
    from dvc.repo.experiments.collect import collect_rev

    with Repo(root) as repo:
        for commit in commits:
            collect_rev(repo, commit)
    return {}


def _is_cached(repo: Any, out: Any) -> bool:
    return not out.use_cache or bool(out.hash_info and repo.cache.local.exists(out.hash_info.value))


REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "look": look,
    "reproduce": reproduce,
    "share_cache": share_cache,
    "reach": reach,
    "fetch": fetch,
    "push": push,
    "list_experiments": list_experiments,
}


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    os.chdir(request["root"])  # DVC resolves stage names relative to the current folder
    try:
        return REQUESTS[request.pop("do")](**request)
    except Exception as error:  # from DVC, Git or the system; the flow reports it as one sentence
        reasons = [str(error)]
        cause = error.__cause__ or error.__context__
        while cause is not None:
            reasons.append(str(cause))
            cause = cause.__cause__ or cause.__context__
        return {"error": ": ".join(dict.fromkeys(reasons))}


class _Group:
    """The process group of this program, and the two ways in which it is ended."""

    def __init__(self) -> None:
        self.busy = False
        self.ended = False

    def on_sigterm(self, *_: int | FrameType | None) -> None:
        """Exits at once unless a stage's command runs.

        The command received the signal too. It is waited for, so that DVC then releases its locks.
        """
        self.ended = True
        if not _has_children():
            sys.exit(128 + signal.SIGTERM)

    def on_parent_death(self) -> None:
        """Ends a running stage together with this program: SIGTERM, then SIGKILL."""
        if self.busy:
            os.killpg(0, signal.SIGTERM)
            time.sleep(GRACE_SECONDS)
            os.killpg(0, signal.SIGKILL)


def _has_children() -> bool:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123 - runs in a signal handler
        return bool(file.read().strip())


def _read(requests: "queue.SimpleQueue[dict[str, Any] | None]", group: _Group) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    requests.put(None)
    group.on_parent_death()


def main(mark: str) -> int:
    """Answers requests until standard input ends; returns the exit code.

    Args:
        mark: each answer is a line that begins with this text.
    """
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    group = _Group()
    signal.signal(signal.SIGTERM, group.on_sigterm)
    threading.Thread(target=_read, args=(requests, group), daemon=True).start()
    import dvc.repo  # noqa: F401 - takes a second, during which the flow starts

    logging.getLogger("dvc").handlers = [_log]
    logging.getLogger("dvc").setLevel(logging.INFO)
    while (request := requests.get()) is not None:
        group.busy = True
        answer = _answer(request)
        group.busy = False
        print(f"\n{mark}{json.dumps(answer)}", flush=True)
        if group.ended:
            return 128 + signal.SIGTERM
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
