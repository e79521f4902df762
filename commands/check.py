"""Check `params.yaml`, the paths in it, the source, the decisions, DVC's own files, Git, and what `dvc repro` inherits.

DVC reads the source of the images and the initial weights first, to find out whether they changed. If it cannot read one of
them, it prints a message of its own or blocks forever. This command finds such files and names them. It also says how `ingest`
will read the folders of the source, or why it will refuse them, before DVC hashes every file. `train-resnet check ../photos`
checks other images, and `-S` the values that `dvc exp run` gets.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.environment import inherited, obstacles
from commands.repair import refuse_conflicts, repair_dvc_files
from commands.repository import SHALLOW, UNSHALLOW, is_shallow, needs_git, repository_fault
from commands.results import WORK_TREE, resolve
from resnet.core.errors import UserError, listed, printable
from resnet.images.outcomes import is_text, shown
from resnet.ingestion.decisions import read_decisions
from resnet.ingestion.stored import SCHEME, stored
from tasks.stage.graph import DVC_YAML, read_graph, stage_paths
from tasks.stage.params import PARAMS_YAML, Params, examine_params

_BUILTIN = Path("builtin")
_DECISIONS = "decisions.csv"
_SEVERAL = "These values make several experiments: `dvc exp run` needs `--queue` for them, and `dvc queue start` runs them."
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".txz")
_LARGEST_LISTED = 100 * 2**20  # bytes; about 2 s of gzip, 10 s of bzip2


def check(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="The images, as in ingest.source; by default that of params.yaml."),
    ] = None,
    set_param: Annotated[
        list[str] | None,
        typer.Option(
            "--set-param",
            "-S",
            metavar="NAME=VALUE",
            help="Check with this value, as of `dvc exp run -S`; can be repeated.",
        ),
    ] = None,
) -> int:
    """Checks the project in the current folder, and prints a sentence for each mistake.

    Returns:
        1 if the user has to correct something, otherwise 0.

    Raises:
        UserError: DVC's own files cannot be repaired, `dvc.yaml` cannot be read, or there is no such source.
    """
    refuse_conflicts()
    for sentence in repair_dvc_files():
        print(sentence)
    set_param = [*_as_override(source, set_param or []), *(set_param or [])]
    mistakes, notes = _examine_changed(set_param) if set_param else examine(read_graph(DVC_YAML))
    found = [*(f"{what}: run `{remedy}`." for what, remedy in hindrances()), *mistakes]
    for sentence in found:
        print(f"check: {printable(sentence)}", file=sys.stderr)
    if found:
        return 1
    for sentence in notes:
        print(f"check: {printable(sentence)}")
    if is_shallow():
        print(f"check: {SHALLOW}: run `{UNSHALLOW}` before it.")
    changed = f" with {' '.join(set_param)}" if set_param else ""
    print(printable(f"check: {PARAMS_YAML}{changed}, the paths in it, and DVC's files are in order."))
    return 0


def _as_override(source: str | None, others: list[str]) -> list[str]:
    if source is None:
        return []
    if any(re.match(r"(params\.yaml:)?ingest\.source=", other) for other in others):
        raise UserError("SOURCE and -S ingest.source both name the images: leave one of them out.")
    from commands.advice.parameters import hydra
    from commands.advice.source import name_source

    return [f"ingest.source={hydra(name_source(source))}"]


def hindrances() -> Iterator[tuple[str, str]]:
    """What makes `dvc repro` fail outside of this project's files, and the command that corrects it."""
    yield from obstacles(inherited())
    fault = repository_fault() if needs_git() else None
    if fault:
        yield fault


def _examine_changed(overrides: list[str]) -> tuple[list[str], list[str]]:
    """What `examine` finds in `params.yaml` with other values; each sentence once, if they make several experiments."""
    from commands.overrides import overridden

    graph = read_graph(DVC_YAML)
    mistakes, notes = dict[str, None](), dict[str, None]()
    try:
        examine_params(PARAMS_YAML, graph)  # whether it can be read
        for number, experiment in enumerate(overridden(overrides), start=1):
            found, noted = examine(graph, experiment.path)
            if number == 2:
                notes[_SEVERAL] = None
            mistakes |= dict.fromkeys(experiment.mistakes(found))
            notes |= dict.fromkeys(noted)
    except UserError as error:
        return [str(error)], []
    return [*mistakes], [*notes]


def examine(graph: Mapping[str, dict[str, Any]], path: Path = PARAMS_YAML) -> tuple[list[str], list[str]]:
    """A sentence for each mistake in `params.yaml`, its paths and the decisions, and notes on what is no mistake.

    Args:
        graph: the stages of `dvc.yaml`.
        path: of `params.yaml`, or of a copy with other values.
    """
    try:
        params, mistakes = examine_params(path, graph)
    except UserError as error:
        return [str(error)], []
    notes = []
    for name, examine_path in (("ingest.source", _examine_source), ("build.weights", _examine_weights)):
        if name.partition(".")[0] in params.sections:
            try:
                notes += examine_path(params, graph)
            except UserError as error:
                mistakes.append(str(error))
    baseline = params.value("evaluate.baseline", object) if "evaluate" in params.sections else None
    if isinstance(baseline, str) and baseline != WORK_TREE:
        try:
            resolve(baseline)
        except UserError as error:
            notes.append(f"`train-resnet gate` cannot use evaluate.baseline: {error}")
    for read in stage_paths(graph.get("ingest", {})):
        if read.name == _DECISIONS:
            try:
                read_decisions(read)
            except UserError as error:
                mistakes.append(str(error))
    return mistakes, notes


def _examine_source(params: Params, graph: Mapping[str, dict[str, Any]]) -> list[str]:
    source = params.value("ingest.source", str)
    check_source(source, graph)
    described = describe_source(
        source,
        class_level(params),
        table_choice(params),
        multi_label=multi_label(params),
        balance=params.value("train.balance", str) if "train" in params.sections else "none",
    )
    return [*described, *_only_from_here(source)]


def _only_from_here(source: str) -> list[str]:
    """A note on a relative path that leads out of the project: it means another place in a folder elsewhere."""
    path = Path(source)
    if path.is_absolute() or source.startswith(("tfds:", SCHEME)) or path.resolve().is_relative_to(Path.cwd()):
        return []
    return [
        f"runs that have a folder of their own (dvc exp run --temp or --queue, and flows) do not find {source}; they need the "
        f"full path, {path.resolve()}"
    ]


def _examine_weights(params: Params, graph: Mapping[str, dict[str, Any]]) -> list[str]:
    check_weights(params.value("build.weights", str), graph)
    return []


def check_source(source: str, graph: Mapping[str, dict[str, Any]]) -> None:
    """Checks that DVC can watch the path that `ingest.source` names.

    Raises:
        UserError: the path does not exist, overlaps with an output of a stage, or is a folder that contains something that DVC
            cannot read.
    """
    path = Path(source)
    if source.startswith(SCHEME):
        stored(source)
        return
    _refuse_outputs("ingest.source", path, graph)
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _check_entry(os.path.join(folder, name))  # noqa: PTH118 (of a million files)
    elif not path.exists():
        advice = _advice(source, ("digits",))
        raise UserError(
            f"{PARAMS_YAML}: ingest.source is {source}, but there is no such file or folder in {Path.cwd()}: {advice}"
        )


def class_level(params: Params) -> int | None:
    """The level of the folders that name the classes, None if it is to be found."""
    level = params.value("ingest.class_level", object)
    return level if isinstance(level, int) else None


def table_choice(params: Params) -> dict[str, str]:
    """What the user says about the columns and images of a table, as `open_source` takes it."""
    return {name: params.value(f"ingest.{name}", str) for name in ("path_column", "label_column", "image_folder")}


def multi_label(params: Params) -> bool | None:
    """Whether images may have several labels each, as `open_source` takes it."""
    given = params.value("ingest.multi_label", object)
    return given if isinstance(given, bool) else None


def describe_source(
    source: str,
    level: int | None = None,
    table: Mapping[str, str] | None = None,
    *,
    multi_label: bool | None = None,
    balance: str = "none",
) -> list[str]:
    """What `ingest` will make of a source, by the names of its files; empty if that is known or would take long to find out.

    Args:
        source: has passed `check_source`.
        level: the level of the folders that name the classes; None to find it.
        table: what the user says about tables.
        multi_label: whether images may have several labels each; None leaves it to what the labels look like.
        balance: `train.balance`.

    Raises:
        UserError: `ingest` would refuse the source at once, for the same reason, or `train` its labels.
    """
    path = Path(source)
    if path.is_relative_to(_BUILTIN) or source.startswith(("tfds:", SCHEME)) or _is_slow(path):
        return []
    from resnet.core.classes import check_classes, confusable
    from resnet.ingestion.sources.catalog import open_source
    from tasks.training.labels import refuse_balance

    found = open_source(source, class_level=level, multi_label=multi_label, **(table or {}))
    check_classes(found.classes)
    if found.multi_label:
        refuse_balance(balance)
    noun = f"{len(found.classes):,} classes ({listed(found.classes)})"
    given = ", ".join(found.splits)
    splits = "" if not given else f", and the split{'s' if len(found.splits) > 1 else ''} {given}"
    labels = ", and several labels for each image" if found.multi_label else ""
    return [f"{source} has {noun}{splits}{labels}", *found.notes, *confusable(found.classes)]


def _is_slow(path: Path) -> bool:
    """Whether listing the files means to unpack an archive: a compressed tar archive has no table of contents."""
    return path.is_file() and path.suffix.lower() in _COMPRESSED and path.stat().st_size > _LARGEST_LISTED


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
    try:
        given = path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise UserError(f"{PARAMS_YAML}: {name} is {path}, but its links lead in a circle: correct the path.") from error
    for output in (output for entry in graph.values() for output in stage_paths({**entry, "deps": []})):
        written = output.resolve()
        if given.is_relative_to(written) or written.is_relative_to(given):
            raise UserError(
                f"{PARAMS_YAML}: {name} is {path}, but this pipeline writes {output} itself: copy what you need to another "
                "path and name that path."
            )


def _advice(value: str, builtin: tuple[str, ...]) -> str:
    if value in builtin:
        return f"did you mean {_BUILTIN / value}?"
    longer = _longer(Path(value))  # after -S, a space or a sign ends a value without quotes
    hints = (
        (value == "tfds:", "write the name of a data set after it, as in tfds:cats_vs_dogs."),
        (value.startswith("tfds:"), f"run `train-resnet fetch {value}`."),
        (value.startswith("~"), f"a ~ in a parameter is not expanded; write {Path(value).expanduser()}."),
        ("$" in value, "variables in a parameter are not expanded; write the path in full."),
        ("://" in value, "only paths and s3:// are read; download it, and write the path of the folder or file."),
        (longer is not None, f"did you mean {longer}? After -S, write it in quotes within quotes: \"NAME='VALUE'\"."),
    )
    return next((advice for applies, advice in hints if applies), "correct the path.")


def _longer(path: Path) -> Path | None:
    """A path that goes on where this one ends, with something that is no part of a word."""
    goes_on = re.compile(re.escape(path.name) + r"[^\w.-]")
    try:
        return min((each for each in path.parent.iterdir() if path.name and goes_on.match(each.name)), default=None)
    except OSError:  # there is no such folder, or it cannot be read
        return None


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
