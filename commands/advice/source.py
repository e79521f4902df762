"""Brings `data/raw/` up to date, so that `advise` looks at the images that a run would train on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.check import check_source
from commands.dvc_errors import unreadable
from commands.repair import DVC_LOCK
from resnet.core.errors import UserError
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params


def name_source(source: str) -> str:
    """A source as `ingest.source` should name it: outside of the project by its full path, so that experiments find it too.

    Raises:
        UserError: there is no such source, or DVC cannot watch it.
    """
    graph = read_graph(DVC_YAML)
    here, path = Path.cwd(), Path(source)
    if not source.startswith("tfds:"):
        full = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links
        source = str(full.relative_to(here) if full.is_relative_to(here) else full)
    check_source(source, graph)
    return source


def ingest_up_to_date(source: str | None) -> bool:
    """Runs `dvc repro ingest` if `data/raw/` is not what it would write.

    Args:
        source: is written to `params.yaml` first, as `dvc exp run -S ingest.source=` does; None to keep what stands there.

    Returns:
        Whether it ran.

    Raises:
        UserError: a parameter is wrong, DVC cannot read the project, or `ingest` fails; `params.yaml` is then as before.
    """
    from dvc.utils.hydra import apply_overrides

    from commands.advice.parameters import hydra

    before = PARAMS_YAML.read_bytes()
    named = load_params(PARAMS_YAML, read_graph(DVC_YAML)).value("ingest.source", str)
    if source is not None and source != named:
        apply_overrides(PARAMS_YAML, [f"ingest.source={hydra(source)}"])
    else:
        check_source(named, read_graph(DVC_YAML))
    try:
        if not _is_stale():
            return False
        print("advise: runs `dvc repro ingest` first; a run will not repeat it", file=sys.stderr, flush=True)
        _repro()
    except BaseException:
        PARAMS_YAML.write_bytes(before)
        raise
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
    code = subprocess.run(command, env={**os.environ, "PATH": programs}, stdout=sys.stderr.fileno(), check=False).returncode
    if code:
        raise UserError("`ingest` failed, see above: correct what it names and ask again.")


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
