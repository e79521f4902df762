"""Records in a folder of exports which model each of them was made from.

An export does not change when the project's model does. `train-resnet publish` reads the record, so that it does not hand out
an export of an older model.
"""

import json
from pathlib import Path

from resnet.core.checksums import sha256
from resnet.core.files import replacing

MADE_FROM = "made-from.json"


def record_export(export: Path, model: Path) -> None:
    """Records the SHA-256 of the model that an export was made from.

    Args:
        export: the file or folder; the record is beside it.
        model: the `.keras` file.
    """
    known = recorded_exports(export.parent) | {export.name: sha256(model)}
    with replacing(export.parent / MADE_FROM) as partial:
        partial.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def recorded_exports(folder: Path) -> dict[str, str]:
    """The SHA-256 of the model of each export in a folder, by the name of the export; empty if there is no valid record."""
    try:
        known = json.loads((folder / MADE_FROM).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: str(digest) for name, digest in known.items() if (folder / name).exists()}
