"""The program that runs DVC for a flow: requests on standard input, log lines and answers on standard output.

A flow could call DVC in its own process, but then the stages' output could not be told from anything else's. It could run `dvc
repro` for each stage, but six times DVC's start-up is 6 s. So there is one process for each run, which imports DVC once and
leads a process group of its own.

Standard input is also a lifeline: when it ends while a stage runs, the flow's process is gone, by SIGKILL perhaps, and the
whole group is ended. This file imports nothing of the project: it serves checkouts of any revision.
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
from types import FrameType
from typing import Any

GRACE_SECONDS = 20.0  # Prefect kills a cancelled run's own process after 30 s
RUNNING = "Running stage '%s':"  # what DVC logs before it runs a stage's command


class _Lines(logging.Handler):
    """Prints what DVC logs, but for its hints at `git add`, and notes whether a stage's command was run."""

    ran = False

    def emit(self, record: logging.LogRecord) -> None:
        self.ran = self.ran or record.msg == RUNNING
        if record.name != "dvc.repo.scm_context":
            print(record.getMessage(), flush=True)


_lines = _Lines(logging.INFO)


def look(root: str, stage: str) -> dict[str, Any]:
    """Whether a stage is up to date; if not, a hash of what decides its outputs, its parameters, whether the cache has them."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc.stage.serialize import to_single_stage_lockfile
    from dvc_data.hashfile.hash_info import HashInfo

    _lines.setLevel(logging.WARNING)  # a dry restore says that it restores
    try:
        with Repo(root) as repo:
            if not repo.status([stage]):
                return {"unchanged": True, "restorable": True, "key": None, "params": {}}
            entry = repo.stage.load_one(name=stage)
            same = not entry.changed_stage() and entry.deps_cached()
            try:
                entry.save_deps()
            except DvcException:  # a dependency is missing: the stage will say so itself
                return {"unchanged": False, "restorable": False, "key": None, "params": {}}
            inputs = {key: value for key, value in to_single_stage_lockfile(entry).items() if key != "outs"}
            if not same:  # with the recorded ones DVC takes the last run's outputs for those of the present inputs
                for out in entry.outs:
                    out.hash_info = HashInfo()
            try:
                repo.stage_cache.restore(entry, dry=True)
            except RunCacheNotFoundError:
                restorable = False
            else:
                restorable = True
    finally:
        _lines.setLevel(logging.INFO)
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
    return {"unchanged": False, "restorable": restorable, "key": key, "params": inputs.get("params", {})}


def reproduce(root: str, stage: str, environment: dict[str, str]) -> dict[str, Any]:
    """Brings one stage up to date; says whether its command was run."""
    from dvc.repo import Repo

    before = os.environ.copy()
    os.environ.update(environment)
    _lines.ran = False
    try:
        with Repo(root) as repo:
            repo.reproduce(stage, single_item=True)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"ran": _lines.ran}


def share_cache(root: str, source: str) -> dict[str, Any]:
    """Gives a clone the cache of the repository that it was cloned from, and checks out what that holds."""
    from configobj import ConfigObj  # type: ignore[import-untyped]
    from dvc.repo import Repo

    with Repo(source) as repo:
        cache = repo.cache.legacy.path  # the folder that `dvc cache dir` prints; others are in it
    # Not by DVC's own editor of settings, which takes no path that is not ASCII.
    settings = ConfigObj(os.path.join(root, ".dvc", "config.local"), encoding="utf-8")  # noqa: PTH118
    settings.setdefault("cache", {})["dir"] = cache
    settings.write()
    with Repo(root) as repo:
        repo.checkout(force=True, allow_missing=True)
    return {}


REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "look": look,
    "reproduce": reproduce,
    "share_cache": share_cache,
}


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    os.chdir(request["root"])  # DVC takes names of stages relative to it
    try:
        return REQUESTS[request.pop("do")](**request)
    except Exception as error:  # DVC's own, Git's and the system's; the flow makes a sentence of each
        reasons = [str(error)]
        cause = error.__cause__ or error.__context__
        while cause is not None:
            reasons.append(str(cause))
            cause = cause.__cause__ or cause.__context__
        return {"error": ": ".join(dict.fromkeys(reasons))}


class _Group:
    """The process group of this program: ends it in good time, and on no account leaves some of it behind."""

    def __init__(self) -> None:
        self.busy = False
        self.ended = False

    def on_sigterm(self, *_: int | FrameType | None) -> None:
        """A stage's command has got the signal too, and is waited for, so that DVC puts its locks away; DVC is not."""
        self.ended = True
        if not _has_children():
            sys.exit(128 + signal.SIGTERM)

    def abandoned(self) -> None:
        """The flow's process is gone."""
        if self.busy:
            os.killpg(0, signal.SIGTERM)
            time.sleep(GRACE_SECONDS)
            os.killpg(0, signal.SIGKILL)


def _has_children() -> bool:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123 - as small as can be
        return bool(file.read().strip())


def _read(requests: "queue.SimpleQueue[dict[str, Any] | None]", group: _Group) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    requests.put(None)
    group.abandoned()


def main(mark: str) -> int:
    """Answers requests until there are no more; each answer is a line that begins with `mark`."""
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    group = _Group()
    signal.signal(signal.SIGTERM, group.on_sigterm)
    threading.Thread(target=_read, args=(requests, group), daemon=True).start()
    import dvc.repo  # noqa: F401 - while the flow's own start is under way

    logging.getLogger("dvc").handlers = [_lines]
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
