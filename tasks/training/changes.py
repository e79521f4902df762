"""The parameters of this run, and those that differ from the last commit: what people call a run by."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.stage.git import git_or_none
from tasks.stage.params import PARAMS_YAML

_LONGEST = 60  # characters of a name


def parameters(text: str | None) -> dict[str, Any]:
    """All parameters in the text of a `params.yaml` as `section.name`; none if it is not one."""
    try:
        tree = YAML(typ="safe", pure=True).load(text or "")
    except (YAMLError, ValueError):
        return {}
    flat: dict[str, Any] = {}
    for section, values in tree.items() if isinstance(tree, dict) else ():
        if isinstance(values, dict):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
        else:
            flat[str(section)] = values
    return flat


def present() -> dict[str, Any]:
    """The parameters in the current folder."""
    return parameters(PARAMS_YAML.read_text("utf-8"))


def changed(now: dict[str, Any]) -> dict[str, Any]:
    """Those that the last commit has not, or with another value; none where there is no commit."""
    then = parameters(git_or_none(Path(), "show", f"HEAD:./{PARAMS_YAML.as_posix()}"))
    return {name: value for name, value in now.items() if then and then.get(name, ...) != value}


def name_of(experiment: str, changes: dict[str, Any]) -> str:
    """A name for a run that can be one of a file: its experiment, or the changed parameters, or the last commit."""
    said = experiment or "_".join(f"{name.rpartition('.')[2]}={value}" for name, value in changes.items())
    said = said or git_or_none(Path(), "rev-parse", "--short", "HEAD") or "run"
    said = re.sub(r"[\s/]+", "-", said)
    return re.sub(r"[^\w.=+-]+", "", said, flags=re.ASCII)[:_LONGEST].strip(".-") or "run"
