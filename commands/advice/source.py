"""Brings `data/raw/` up to date, so that `advise` looks at the images that a run would train on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.check import check_source
from commands.dvc_errors import unreadable
from commands.repair import DVC_LOCK, refuse_during_a_run
from resnet.core.errors import UserError
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params

_GRACE = 5.0  # seconds for a process group to end after SIGTERM
_POLL = 0.05  # seconds


def name_source(source: str) -> str:
    """A source as `ingest.source` should name it: outside of the project by its full path, so that experiments find it too.

    Raises:
        UserError: there is no such source, or DVC cannot watch it.
    """
    if not source:
        raise UserError("SOURCE is empty: name a folder, an archive or a table, or leave it out to keep that of params.yaml.")
    graph = read_graph(DVC_YAML)
    here, path = Path.cwd(), Path(source)
    if not source.startswith("tfds:") and "://" not in source:
        full = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links
        source = str(full.relative_to(here) if full.is_relative_to(here) else full)
    try:
        check_source(source, graph)
    except UserError as error:  # it blames `params.yaml`, which names another source
        raise UserError(str(error).replace(f"{PARAMS_YAML}: ingest.source is", "SOURCE is", 1)) from error
    return source


def ingest_up_to_date() -> bool:
    """Runs `dvc repro ingest` if `data/raw/` is not what it would write.

    Returns:
        Whether it ran.

    Raises:
        UserError: DVC cannot read the project, a run is going on in it, or `ingest` fails.
    """
    graph = read_graph(DVC_YAML)
    check_source(load_params(PARAMS_YAML, graph).value("ingest.source", str), graph)
    if not _is_stale():
        return False
    refuse_during_a_run()
    print("advise: runs `dvc repro ingest` first; a run will not repeat it", file=sys.stderr, flush=True)
    _repro()
    return True


def _is_stale() -> bool:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            return bool(repo.status(["ingest"]))
    except DvcException as error:
        raise unreadable(error) from error


def _repro() -> None:
    """Runs the stage with DVC; what it prints goes to standard error, so that `--json` stays alone on standard output."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", "ingest"]
    if run_group(command, {**os.environ, "PATH": programs}):
        raise UserError("`ingest` failed, see above: correct what it names and ask again.")


def run_group(command: list[str], environment: dict[str, str]) -> int:
    """Runs a command in a process group of its own, and returns its exit code; if this is interrupted, the group ends first.

    DVC passes no SIGTERM on to the stage that it runs, so the whole group gets it.
    """
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True
    )
    try:
        return process.wait()
    except BaseException:
        _end_group(process)
        raise


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process group: SIGTERM lets a stage remove what it has written in part, and SIGKILL follows."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        last = time.monotonic() + _GRACE
        while time.monotonic() < last:
            process.poll()
            os.killpg(process.pid, 0)  # raises when no process of the group is left
            time.sleep(_POLL)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_prepared(section: dict[str, Any]) -> bool:
    """Whether `data/prepared/` has the present images with these parameters of `preprocess`, according to `dvc.lock`."""
    try:
        stages = YAML(typ="safe", pure=True).load(DVC_LOCK)["stages"]
        written = {out["path"]: out["md5"] for out in stages["ingest"]["outs"]}
        read = {dep["path"]: dep["md5"] for dep in stages["preprocess"]["deps"]}
        given = stages["preprocess"]["params"][PARAMS_YAML.name]["preprocess"]
        (prepared,) = (Path(out["path"]) for out in stages["preprocess"]["outs"])
    except (OSError, YAMLError, KeyError, TypeError, ValueError):
        return False
    return given == section and all(read.get(path) == md5 for path, md5 in written.items()) and prepared.is_dir()
