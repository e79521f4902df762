"""Reads `dvc.yaml`, the only description of the graph and the only place where paths are written."""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet.core.errors import UserError

DVC_YAML = Path("dvc.yaml")
CODE = ("resnet", "tasks")  # packages whose files are dependencies of stages


def read_graph(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of `dvc.yaml` by stage, in its order.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    try:
        stages: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(path)["stages"]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path} in {Path.cwd()}; run stages in the project's folder.") from error
    except (YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); `dvc status` gives details.") from error
    return stages


def stage_paths(entry: dict[str, Any]) -> Iterator[Path]:
    """All files and folders that a stage reads and writes, without its code."""
    for kind in ("deps", "outs", "metrics", "plots"):
        for item in entry.get(kind, []):
            path = Path(item if isinstance(item, str) else next(iter(item)))
            if not is_code(path):
                yield path


def stage_code(entry: dict[str, Any]) -> list[Path]:
    """The files and folders of code that a stage depends on."""
    return [Path(item) for item in entry.get("deps", []) if is_code(Path(item))]


def is_code(path: PurePath) -> bool:
    """Whether a dependency is code of this project."""
    return path.parts[0] in CODE


def project_paths() -> dict[str, Path]:
    """All files and folders of the pipeline in the current folder by keyword: `resnet_keras` is the path of `resnet.keras`.

    Raises:
        UserError: there is no `dvc.yaml`, or it cannot be read.
    """
    return {path.name.replace(".", "_"): path for entry in read_graph(DVC_YAML).values() for path in stage_paths(entry)}
