"""Folders and archives give the same tables."""

import shutil
from pathlib import Path

from resnet.ingestion.sources.archive import archive_source
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.container import archive_container, folder_container
from resnet.ingestion.sources.conventions import find_tables
from tests.pictures import write_tree


def test_a_folder_and_its_archive_open_alike(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path / "tree", {"a/1.png": b"1", "b/2.png": b"2", "labels.csv": b"path,label\na/1.png,x\nb/2.png,y\n"}
    )
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tree))
    containers = folder_container(tree), archive_container(packed, ["labels.csv"], lambda: archive_source(packed))
    for container in containers:
        tables = find_tables(container.place, Choice(), container.table)
        assert container.listed(tables.found).classes == ["x", "y"]
        assert container.class_folders().classes == ["a", "b"]
