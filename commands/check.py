"""Checks before anything runs: `params.yaml`, the sources of images and of first weights, DVC's own files.

DVC reads the sources first, to see whether they changed. What it cannot read it reports in its own words, or waits for without
end, so that is looked for here.
"""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands.repository import mend
from resnet.core.errors import UserError
from resnet.images.outcomes import is_text, shown
from tasks.stage.graph import DVC_YAML, read_graph, stage_paths
from tasks.stage.params import PARAMS_YAML, load_params


def main() -> int:
    """Checks the project in the current folder; returns the exit code."""
    try:
        for sentence in mend():
            print(sentence)
        graph = read_graph(DVC_YAML)
        params = load_params(PARAMS_YAML, graph)
        check_source(params.sections["ingest"].model_dump()["source"])
        check_weights(params.sections["build"].model_dump()["weights"], graph)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check_source(source: str) -> None:
    """Whether DVC can watch the path that `ingest.source` names.

    Raises:
        UserError: it is not there, or it is a folder with something in it that DVC cannot read.
    """
    path = Path(source)
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _check_entry(os.path.join(folder, name))  # noqa: PTH118 (of a million files)
    elif not path.exists():
        advice = f"run `train-resnet fetch {source}`" if source.startswith("tfds:") else "mend the path"
        raise UserError(
            f"{PARAMS_YAML}: ingest.source is {source}, but there is no such file or folder in {Path.cwd()}: {advice}."
        )


def check_weights(weights: str, graph: Mapping[str, dict[str, Any]]) -> None:
    """Whether DVC can watch the path that `build.weights` names.

    Raises:
        UserError: it is not there, or a stage makes it, which would have to run before and after `build`.
    """
    outputs = {path.absolute() for entry in graph.values() for path in stage_paths({**entry, "deps": []})}
    if Path(weights).absolute() in outputs:
        raise UserError(
            f"{PARAMS_YAML}: build.weights is {weights}, which this pipeline makes itself: copy it elsewhere and name that."
        )
    if not Path(weights).exists():
        raise UserError(f"{PARAMS_YAML}: build.weights is {weights}, but there is no such file in {Path.cwd()}: mend the path.")


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
        f"{path} cannot be read by DVC, which watches the source ({why}): take it out, or pack the folder into a .tar, in "
        "which such a file is listed and left out."
    )


if __name__ == "__main__":
    sys.exit(main())
