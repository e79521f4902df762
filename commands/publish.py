"""Make a folder to hand to somebody: the model, its card as README, the reports, and how to predict.

The folder has the exports of this model in exports/; --to makes some first. It can be uploaded as a Hugging Face model
repository as it is. Results that are damaged, or that do not belong to the present parameters and code, are refused. Changes
that are not committed are named in the README. The same commit gives the same bytes.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from commands.export import KNOWN, export, named_formats
from commands.export_record import MADE_FROM, Made, export_hash, recorded_exports
from commands.places import own_place
from commands.published_label_sets import THRESHOLDS
from commands.published_readme import Revision, folder_section
from commands.repair import DVC_LOCK
from commands.verify import recorded_outputs
from commands.why import explain_changes
from resnet.core.checksums import md5, sha256
from resnet.core.classes import write_classes
from resnet.core.errors import UserError, printable
from resnet.core.files import replacing
from resnet.core.words import counted
from resnet.network.archive import ModelFacts, read_model_facts
from tasks.stage.git import git_or_none
from tasks.stage.graph import project_paths
from tasks.stage.params import PARAMS_YAML

README, SUMS = "README.md", "SHA256SUMS"
_OUTPUTS = ("resnet_keras", "index_html", "data_html", "metrics_json", "croissant_json")
_OTHERS = (PARAMS_YAML, DVC_LOCK, Path("requirements.lock"))
_EXPORTS = Path("exports")
_ALWAYS = {README, "dvc.lock", "params.yaml", "resnet.keras"}  # in every folder that this command wrote


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it is new or empty.")],
    *,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            callback=lambda given: named_formats(given or []),
            autocompletion=lambda: list(KNOWN),
            help=f"Export the network first: one of {', '.join(KNOWN)}; repeat the option, or separate several by commas.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that publish wrote.")] = False,
) -> None:
    """Checks the results and writes the folder, all of it or nothing.

    Raises:
        UserError: a result is missing, damaged or out of date, or the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))  # Path.resolve fails if links form a loop
    _refuse_place(folder, target, force)
    paths = project_paths()
    outputs = [paths[name] for name in _OUTPUTS]
    recorded = {out["path"]: str(out["md5"]) for out in recorded_outputs(DVC_LOCK)}
    for path in (*outputs, paths["model_card_md"]):
        _refuse_damaged(path, recorded)
    _refuse_stale()
    if to:
        export(to)
    revision = _revision(target)
    known = recorded_exports(_EXPORTS)
    exports = list(_exports_of(paths["resnet_keras"], known))
    try:
        with replacing(target) as partial:
            _copy([*outputs, *_OTHERS], exports, partial)
            for path in outputs:  # once more: a file may have changed since
                _refuse_damaged(path, recorded, partial / path.name)
            _refuse_damaged_exports(exports, known, partial)
            facts = read_model_facts(partial / paths["resnet_keras"].name)
            written = _write_facts(facts, partial / paths["classes_json"].name)
            names = [*(path.name for path in (*outputs, *_OTHERS, *written)), README, SUMS]
            several = facts.thresholds is not None
            section = folder_section(names, [path.name for path in exports], revision, multi_label=several)
            card = paths["model_card_md"].read_text("utf-8")
            (partial / README).write_text(f"{card}\n{section}", encoding="utf-8")
            count, size = _write_sums(partial)
            _refuse_place(folder, target, force)  # once more: exports take minutes, and the swap removes what is there
    except OSError as error:
        raise UserError(f"{folder} could not be written ({error}): name another folder, or run again.") from error
    _report(folder, count, size, exports, revision)


def _refuse_place(folder: Path, target: Path, force: bool) -> None:
    if target.is_symlink():  # its links were followed, as far as possible
        raise UserError(f"{folder} is a symbolic link that leads back to itself: name another folder.")
    if target.exists() and not target.is_dir():
        raise UserError(f"{folder} is a file, but a folder is to be written there: name another one.")
    if (place := own_place(target)) is not None:
        raise UserError(f"{folder} is in {place}, which belongs to the pipeline, Git or DVC: name another folder.")
    if target.is_relative_to(os.path.realpath(_EXPORTS)):
        raise UserError(f"{folder} is in {_EXPORTS}, where `train-resnet export` writes: name another folder.")
    if os.path.ismount(target):
        raise UserError(f"{folder} is a mount point, which cannot be replaced: name a new folder in it.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not force:
        raise UserError(
            f"{folder} exists and is not empty, but a new or an empty folder was expected: name another one, or add --force "
            "to replace what publish wrote."
        )
    if stranger := _not_published(target):
        raise UserError(f"{folder} has {stranger}, which publish did not write: move it, or name another folder.")


def _not_published(folder: Path) -> str | None:
    """The name of a file or folder that is not as `publish` wrote it; None if all are."""
    try:
        lines = [line.split("  ", 1) for line in (folder / SUMS).read_text("utf-8").splitlines()]
        sums = {name: digest for digest, name in lines}
    except (OSError, ValueError):
        sums = {}
    if not sums.keys() >= _ALWAYS:  # another folder, which may be a whole disk: its files are not read
        return min((path.name for path in folder.iterdir() if path.name != SUMS), default=SUMS)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            return name
        if path.is_file() and name != SUMS and (name not in sums or sums[name] != sha256(path)):
            return name
    return None


def _refuse_stale() -> None:
    """Compares parameters, code and data with what `dvc.lock` records; what is not here does not count."""
    for stage, reasons in explain_changes():
        raise UserError(
            f"the results are not those of the present inputs: {stage} would run again, because {reasons[0].splitlines()[0]}; "
            "run `dvc repro`, or undo the change. `train-resnet why` has the details."
        )


def _refuse_damaged(path: Path, recorded: dict[str, str], copy: Path | None = None) -> None:
    """Compares a result, or a copy of it, with its hash in `dvc.lock`."""
    expected = recorded.get(path.as_posix())
    if expected is None:
        raise UserError(f"{DVC_LOCK} does not have {path}, so it has not been made yet: run `dvc repro`.")
    try:
        found = md5(copy or path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run `dvc pull`, or `dvc repro`, which makes it again.") from error
    except OSError as error:  # a folder, or a file that may not be read
        raise UserError(
            f"{path} cannot be read ({error.strerror}), but a file was expected: move it away and run `dvc repro`, which makes "
            "it again."
        ) from error
    if found != expected:
        raise UserError(
            f"{path} is not what {DVC_LOCK} records (MD5: {found} instead of {expected}), so it is damaged or of another run: "
            "run `dvc repro`; if that does nothing, `train-resnet verify` says what to do."
        )


def _revision(target: Path) -> Revision:
    """The commit and the uncommitted changes, without the folder itself."""
    commit = git_or_none(Path(), "rev-parse", "HEAD")
    inside = [f":(exclude,literal){target.relative_to(Path.cwd())}"] if target.is_relative_to(Path.cwd()) else []
    status = git_or_none(Path(), "status", "--porcelain", "--", ".", *inside) if commit else None
    return Revision(commit, [printable(line) for line in (status or "").splitlines()])


def _exports_of(model: Path, known: dict[str, Made]) -> Iterator[Path]:
    """The exports of this model; others are named."""
    digest = sha256(model)
    for path in sorted(_EXPORTS.iterdir()) if _EXPORTS.is_dir() else ():
        if path.name == MADE_FROM or path.name.startswith("."):
            continue
        export = path.name if path.name in known else path.name.removesuffix(".json")  # an int8 export has a report beside it
        if export in known and known[export].model == digest:
            yield path
            continue
        why = "it is an export of another model" if export in known else "it is not known of which model it is an export"
        print(f"publish: {printable(str(path))} is left out, because {why}", file=sys.stderr)


def _refuse_damaged_exports(exports: list[Path], known: dict[str, Made], folder: Path) -> None:
    """Compares the copies of exports with the hashes that were recorded when they were made."""
    for path in exports:
        if path.name in known and export_hash(folder / _EXPORTS.name / path.name) != known[path.name].export:
            raise UserError(
                f"{path} is not what `train-resnet export` wrote, so it is damaged or was changed: export it again, or move it "
                "out of the folder."
            )


def _copy(files: list[Path], exports: list[Path], folder: Path) -> None:
    folder.mkdir()
    for path in files:
        if not path.is_file():
            raise UserError(f"{path} is missing: `git checkout {path}` restores it.")
        shutil.copyfile(path, folder / path.name)
    for path in exports:
        copy = folder / _EXPORTS.name / path.name
        copy.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(path, copy)


def _write_facts(facts: ModelFacts, classes: Path) -> list[Path]:
    """Writes the class names and, of a model for several labels an image, the thresholds; returns the files."""
    write_classes(classes, facts.class_names)
    if facts.thresholds is None:
        return [classes]
    thresholds = classes.with_name(THRESHOLDS)
    thresholds.write_text(json.dumps(facts.thresholds) + "\n", encoding="utf-8")
    return [classes, thresholds]


def _write_sums(folder: Path) -> tuple[int, int]:
    """Writes `SHA256SUMS` for all files; returns their number and bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return len(files) + 1, sum(path.stat().st_size for path in files)


def _report(folder: Path, count: int, size: int, exports: list[Path], revision: Revision) -> None:
    names = ", ".join(path.name for path in exports) or "none; --to makes them"
    print(f"publish: {printable(str(folder))} has {counted(count, 'file')}, {size / 1e6:.1f} MB; exports: {names}")
    if revision.commit is None:
        print("publish: Git has no commit of this project, so the README names none")
    elif revision.changes:
        count = len(revision.changes)
        print(f"publish: uncommitted changes: {count:,}, such as {revision.changes[0][3:]}; the README names them")
