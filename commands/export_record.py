"""Records in a folder of exports which model each of them was made from, and the hash of the export itself.

An export does not change when the project's model does. `train-resnet publish` reads the record, so that it does not hand out
an export of an older model, or one that was damaged.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet.core.checksums import sha256
from resnet.core.files import replacing

MADE_FROM = "made-from.json"


@dataclass(frozen=True)
class Made:
    """What is recorded of an export.

    Attributes:
        model: the SHA-256 of the `.keras` file that it was made from.
        export: its `export_hash` when it was made.
    """

    model: str
    export: str


def record_export(export: Path, model: Path) -> None:
    """Records an export that was just made.

    Args:
        export: the file or folder; the record is beside it.
        model: the `.keras` file.
    """
    known = recorded_exports(export.parent) | {export.name: Made(sha256(model), export_hash(export))}
    with replacing(export.parent / MADE_FROM) as partial:
        text = json.dumps({name: asdict(made) for name, made in known.items()}, indent=1, sort_keys=True)
        partial.write_text(f"{text}\n", encoding="utf-8")


def recorded_exports(folder: Path) -> dict[str, Made]:
    """What is recorded of each export in a folder, by its name; exports without a valid record are left out."""
    try:
        known = json.loads((folder / MADE_FROM).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        name: Made(str(made["model"]), str(made["export"]))
        for name, made in known.items()
        if isinstance(made, dict) and made.keys() >= {"model", "export"} and (folder / name).exists()
    }


def export_hash(export: Path) -> str:
    """A SHA-256 of the names and contents of all files of an export, and of the report beside an int8 export."""
    files = [path for path in export.rglob("*") if path.is_file()] if export.is_dir() else [export]
    report = export.with_name(f"{export.name}.json")
    names = sorted(path.relative_to(export.parent).as_posix() for path in (*files, *([report] if report.is_file() else [])))
    lines = [f"{sha256(export.parent / name)}  {name}\n" for name in names]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
