"""Archives made to break whoever reads them, each with what has to come of it."""

from pathlib import Path

from tests.hostile.expectation import Hostile
from tests.hostile.tars import TARS
from tests.hostile.zips import ZIPS

ARCHIVES = [*ZIPS, *TARS]


def write_archives(folder: Path) -> dict[Path, Hostile]:
    """Writes all of them into a folder."""
    for made in ARCHIVES:
        made.write(folder / made.file)
    return {folder / made.file: made for made in ARCHIVES}
