"""An archive in a bucket as the source of the pipeline: DVC watches it by its ETag."""

import shutil
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from tests.pictures import two_classes
from tests.project import Project
from tests.s3_store import BUCKET, Store


def test_dvc_detects_a_replaced_archive_and_nothing_is_copied(
    make_project: Callable[[], Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    with Store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        project.environment |= store.environment
        client = boto3.client("s3")

        def upload(each: int) -> int:
            folder = two_classes(tmp_path / str(each), each)
            archive = shutil.make_archive(str(tmp_path / f"photos{each}"), "zip", folder)
            client.upload_file(archive, BUCKET, "photos.zip")
            return Path(archive).stat().st_size

        def repro() -> list[str]:
            output = project.run("dvc", "repro", "ingest").stdout
            return [line for line in output.splitlines() if line.startswith(("Running", "ingest:"))]

        project.set(source=f"s3://{BUCKET}/photos.zip")
        upload(10)
        assert repro() == ["Running stage 'ingest':", f"ingest: 20 images of 2 classes from s3://{BUCKET}/photos.zip"]
        assert repro() == []
        upload(11)
        assert repro()[1] == f"ingest: 22 images of 2 classes from s3://{BUCKET}/photos.zip"
        lock = project.read("dvc.lock")
        checked = project.run("python", "-m", "commands", "check")
        assert "dvc.lock" not in checked.stdout + checked.stderr
        assert project.read("dvc.lock") == lock
        client.delete_object(Bucket=BUCKET, Key="photos.zip")
        refused = project.run("python", "-m", "commands", "check", code=1)
        assert f"s3://{BUCKET}/photos.zip cannot be read" in refused.stderr
        assert refused.stderr.count("\n") == 1
