"""Parameter values for people: by dotted name, in few characters, and what differs between two files."""

import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.results import flat
from resnet.core.errors import printable


def text(value: Any) -> str:
    """A value as it is written in `params.yaml`; bytes that are not UTF-8 and control characters are escaped."""
    return printable(value) if isinstance(value, str) else json.dumps(value, default=str)


def differences(before: str, after: str) -> dict[str, tuple[str, str]]:
    """The parameters that differ between the texts of two parameter files, each with both values; "" for a missing one."""
    old, new = (flat(_parsed(content)) for content in (before, after))
    return {
        name: (text(old[name]) if name in old else "", text(new[name]) if name in new else "")
        for name in {**old, **new}
        if name not in old or name not in new or old[name] != new[name]
    }


def _parsed(content: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(content)
    except (YAMLError, ValueError):  # of another revision
        return {}
