"""`dvc.yaml` as the stages' commands see it: the only description of the graph, and the only place where a path stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet.errors import UserError

DVC_YAML = Path("dvc.yaml")


def read_graph(path: Path) -> dict[str, dict[str, Any]]:
    """The stages of `dvc.yaml` with what it says of each, in its order.

    Raises:
        UserError: the file is missing or is not what DVC takes.
    """
    try:
        stages: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(path)["stages"]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path} in {Path.cwd()}; run stages in the project's folder.") from error
    except (YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); `dvc status` says more.") from error
    return stages


def stage_paths(entry: dict[str, Any]) -> Iterator[Path]:
    """All that a stage reads and writes."""
    for kind in ("deps", "outs", "metrics", "plots"):
        for item in entry.get(kind, []):
            yield Path(item if isinstance(item, str) else next(iter(item)))
