"""Names a source in `params.yaml`, in its one line, and takes that back if `advise` does not succeed."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from commands.repair import refuse_during_a_run, while_dvc_waits
from resnet.core.errors import UserError, printable
from resnet.core.files import replacing
from tasks.stage.params import PARAMS_YAML
from tasks.training.changes import parameters

_NAME = "ingest.source"
_PLAIN = re.compile(r"[A-Za-z./_][\w./+-]*")  # YAML reads it as a text, except for words such as true


@contextmanager
def named(source: str | None) -> Iterator[Callable[[], None]]:
    """Names a source in `params.yaml` for the block, and afterwards too if the block succeeds.

    Nothing else in the file changes. An edit that somebody makes during the block stays, whatever happens.

    Args:
        source: None to keep the one that stands there.

    Yields:
        A function that restores the file, for an end that raises no exception.

    Raises:
        UserError: a run is going on in this project, or the file does not have the parameter in a form that can be changed.
    """
    if source is None or source == parameters(PARAMS_YAML.read_text("utf-8")).get(_NAME):
        yield lambda: None
        return
    before, written = _write(source)

    def restore() -> None:
        if PARAMS_YAML.read_bytes() == written:
            _replace(before)
        else:
            print(f"advise: {PARAMS_YAML} was changed meanwhile, so it stays as it is; see {_NAME} there", file=sys.stderr)

    try:
        yield restore
    except BaseException:
        restore()
        raise
    was = parameters(before.decode()).get(_NAME)
    print(f"advise: {PARAMS_YAML} now has {_NAME}: {printable(source)} (it was {printable(str(was))})", file=sys.stderr)


def _write(source: str) -> tuple[bytes, bytes]:
    """Writes the source; returns the content of the file before and after."""
    # DVC holds this lock between two stages and its file of locks during a stage, so a run shows in one of them.
    with while_dvc_waits(Path()):
        refuse_during_a_run()
        before = PARAMS_YAML.read_bytes()
        written = with_source(before.decode("utf-8"), source).encode("utf-8")
        _replace(written)
    return before, written


def _replace(content: bytes) -> None:
    with replacing(PARAMS_YAML) as partial:
        partial.write_bytes(content)


def with_source(text: str, source: str) -> str:
    """The text of a `params.yaml` with another source; a comment behind it stays in its column if there is room.

    Raises:
        UserError: the text does not have the parameter in a form that can be changed.
    """
    value = (
        source
        if _PLAIN.fullmatch(source) and YAML(typ="safe", pure=True).load(source) == source
        else json.dumps(source, ensure_ascii=False)
    )
    try:
        node = _node(YAML(pure=True).compose(text), _NAME.split("."))
    except YAMLError:
        node = None
    if node is not None:
        start, end = node.start_mark.index, node.end_mark.index
        rest = text[end:]
        comment = rest.lstrip(" ")
        if comment.startswith("#"):
            rest = " " * max(1, end + len(rest) - len(comment) - start - len(value)) + comment
        changed = text[:start] + value + rest
        if parameters(changed) == parameters(text) | {_NAME: source}:
            return changed
    raise UserError(
        f"{_NAME} in {PARAMS_YAML} has a form that advise cannot change: write `source: {value}` there and ask again."
    )


def _node(tree: Node | None, names: list[str]) -> ScalarNode | None:
    """The value of a parameter in a tree of YAML nodes; None if there is none."""
    for name in names:
        pairs = tree.value if isinstance(tree, MappingNode) else []
        tree = next((value for key, value in pairs if key.value == name), None)
    return tree if isinstance(tree, ScalarNode) else None
