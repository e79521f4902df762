"""Check `params.yaml`, the paths in it, and DVC's own files.

DVC reads the source of the images and the initial weights first, to find out whether they changed. If it cannot read one of
them, it prints a message of its own or blocks forever. This command finds such files and names them.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands.repair import refuse_conflicts, repair_dvc_files
from resnet.core.errors import UserError
from resnet.images.outcomes import is_text, shown
from tasks.stage.graph import DVC_YAML, read_graph, stage_paths
from tasks.stage.params import PARAMS_YAML, load_params

_BUILTIN = Path("builtin")


def check() -> None:
    """Checks the project in the current folder.

    Raises:
        UserError: what the user has to correct.
    """
    refuse_conflicts()
    for sentence in repair_dvc_files():
        print(sentence)
    graph = read_graph(DVC_YAML)
    params = load_params(PARAMS_YAML, graph)
    check_source(params.value("ingest.source", str), graph)
    check_weights(params.value("build.weights", str), graph)


def check_source(source: str, graph: Mapping[str, dict[str, Any]]) -> None:
    """Checks that DVC can watch the path that `ingest.source` names.

    Raises:
        UserError: the path does not exist, overlaps with an output of a stage, or is a folder that contains something that DVC
            cannot read.
    """
    path = Path(source)
    _refuse_outputs("ingest.source", path, graph)
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _check_entry(os.path.join(folder, name))  # noqa: PTH118 (of a million files)
    elif not path.exists():
        advice = f"run `train-resnet fetch {source}`." if source.startswith("tfds:") else _advice(source, ("digits",))
        raise UserError(
            f"{PARAMS_YAML}: ingest.source is {source}, but there is no such file or folder in {Path.cwd()}: {advice}"
        )


def check_weights(weights: str, graph: Mapping[str, dict[str, Any]]) -> None:
    """Checks that DVC can watch the path that `build.weights` names.

    Raises:
        UserError: the path does not exist or overlaps with an output of a stage.
    """
    _refuse_outputs("build.weights", Path(weights), graph)
    if not Path(weights).exists():
        advice = _advice(weights, ("random", "imagenet"))
        raise UserError(f"{PARAMS_YAML}: build.weights is {weights}, but there is no such file in {Path.cwd()}: {advice}")


def _refuse_outputs(name: str, path: Path, graph: Mapping[str, dict[str, Any]]) -> None:
    """A stage that reads what a stage writes, or a folder that contains it, would never be up to date."""
    given = path.resolve()
    for output in (output for entry in graph.values() for output in stage_paths({**entry, "deps": []})):
        written = output.resolve()
        if given.is_relative_to(written) or written.is_relative_to(given):
            raise UserError(
                f"{PARAMS_YAML}: {name} is {path}, but this pipeline writes {output} itself: copy what you need to another "
                "path and name that path."
            )


def _advice(value: str, builtin: tuple[str, ...]) -> str:
    return f"did you mean {_BUILTIN / value}?" if value in builtin else "correct the path."


def _check_entry(path: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (of a million files)
    except OSError as error:
        raise _unreadable(shown(path), str(error.strerror)) from error
    if not is_text(path):
        raise _unreadable(shown(path), "its name is not UTF-8")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _unreadable(shown(path), "a FIFO, a socket or a device")
    if not os.access(path, os.R_OK):
        raise _unreadable(shown(path), "no permission")


def _unreadable(path: str, why: str) -> UserError:
    return UserError(
        f"{path} cannot be read by DVC, which watches the source ({why}): remove it, or pack the folder into a .tar, where "
        "`ingest` lists such a file and skips it."
    )
