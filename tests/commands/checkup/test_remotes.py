"""What the doctor finds about remotes: buckets of an S3 server on loopback, and folders."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands.checkup.findings import Finding
from commands.checkup.remotes import check_remotes
from tests.s3_store import BUCKET, Fault, Store
from tests.shared_project import SharedProject

ALWAYS = 10**6


@pytest.fixture
def project(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SharedProject]]:
    """Makes a project and its folder the current one."""

    def make(**options: str) -> SharedProject:
        made = SharedProject(tmp_path / "project", store, **options)
        monkeypatch.chdir(made.folder)
        return made

    yield make
    assert store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert store.names() == []


def the_one() -> Finding:
    (found,) = check_remotes()
    return found


def test_a_bucket_that_can_be_used(project: Callable[..., SharedProject]) -> None:
    project()
    assert the_one() == Finding("remote", "store is s3://bucket/project, which can be read and written to")


def test_who_may_only_read_is_told_so(project: Callable[..., SharedProject], store: Store) -> None:
    project()
    with store.failing(Fault("AccessDenied", after=1, count=ALWAYS)):
        found = the_one()
    assert (found.wrong, found.found.partition(", ")[2]) == (
        False,
        "which can be read, but not written to with these credentials",
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("InvalidAccessKeyId", "the storage does not know the access key"),
        ("SignatureDoesNotMatch", "the secret key does not belong to the access key"),
        ("AccessDenied", "access is denied to these credentials"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
        ("InternalError", "the storage has an internal error"),
        ("hang", "the storage does not answer in time"),
    ],
)
def test_what_the_storage_reports_is_said_after_one_request(
    kind: str, said: str, project: Callable[..., SharedProject], store: Store
) -> None:
    project().wait_at_most(1 if kind == "hang" else 60)
    with store.failing(Fault(kind, count=ALWAYS)):
        found = the_one()
    assert (found.wrong, found.found) == (True, f"store cannot be used: {said}")
    assert found.remedy
    assert len(store.requests) == 1


def test_a_bucket_that_does_not_exist(project: Callable[..., SharedProject]) -> None:
    project(bucket="elsewhere")
    found = the_one()
    assert found.found == "store cannot be used: there is no such bucket"
    assert "dvc remote modify store url" in found.remedy


def test_a_server_that_is_not_there(project: Callable[..., SharedProject], store: Store) -> None:
    project()
    store.stop()
    try:
        found = the_one()
    finally:
        store.start()
    assert (found.wrong, found.found) == (True, "store cannot be used: no server answers there")


def test_no_credentials(project: Callable[..., SharedProject], monkeypatch: pytest.MonkeyPatch) -> None:
    project()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert the_one().found == "store cannot be used: no credentials were found"


def test_a_secret_in_the_file_that_git_keeps_is_wrong(project: Callable[..., SharedProject]) -> None:
    config = project().folder / ".dvc" / "config"
    config.write_text(f"{config.read_text()}    access_key_id = key\n    secret_access_key = secret\n")
    usable, published = check_remotes()
    assert not usable.wrong
    assert (published.wrong, published.found) == (True, "secret_access_key of store is in .dvc/config, which Git keeps")
    assert published.remedy.startswith("dvc remote modify store --unset secret_access_key; set it again with --local")


def test_a_folder(project: Callable[..., SharedProject], tmp_path: Path) -> None:
    config = project().folder / ".dvc" / "config"
    config.write_text(f"[core]\n    no_scm = True\n['remote \"disk\"']\n    url = {tmp_path / 'disk'}\n")
    missing = the_one()
    assert (missing.wrong, missing.found) == (False, f"disk is {tmp_path / 'disk'}, which does not exist")
    assert "mount its disk" in missing.remedy
    (tmp_path / "disk").mkdir()
    assert the_one().found == f"disk is {tmp_path / 'disk'}, which can be read and written to"


def test_without_a_remote_the_command_is_named(project: Callable[..., SharedProject]) -> None:
    (project().folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    assert the_one().remedy.startswith("dvc remote add --default")


def test_without_dvc_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(check_remotes()) == []
