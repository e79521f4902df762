"""The remotes of DVC: whether they can be reached, read and written to with the settings and credentials of this shell."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.checkup.findings import Finding
from commands.repair import REMOTE, settings
from commands.storage_errors import meaning

if TYPE_CHECKING:
    from dvc.data_cloud import Remote

_ADD = "dvc remote add --default NAME URL && dvc push, to share them or back them up; docs/sharing.md"
_SECRETS = ("secret_access_key", "session_token", "password", "account_key", "sas_token", "connection_string", "client_secret")
_SECONDS = 10  # to wait for an answer; DVC's own waits add up to minutes


def check_remotes() -> Iterator[Finding]:
    """Each remote, and secrets that Git would publish."""
    from dvc.repo import Repo

    if not Path(".dvc").is_dir():
        return  # the check of DVC says so
    with Repo() as repo:
        names = list(repo.config["remote"])
        if not names:
            yield Finding("remote", "none: data and models are only on this machine", remedy=_ADD)
        for name in names:
            yield _examined(repo, name)
    yield from _published(Path(".dvc"))


def _examined(repo: Any, name: str) -> Finding:
    try:
        remote = repo.cloud.get_remote(name)
        if remote.fs.protocol == "s3":
            return _bucket(remote)
        if remote.fs.protocol == "local":
            return _folder(remote)
    except Exception as error:
        known = meaning(error, name)
        if known is None:
            raise
        found, remedy = known
        return Finding("remote", f"{name} cannot be used: {found}", wrong=True, remedy=remedy)
    return Finding("remote", f"{name} is {remote.fs.unstrip_protocol(remote.path)}; whether it can be used was not tried")


def _folder(remote: "Remote") -> Finding:
    path = Path(remote.path)
    if not path.is_dir():
        remedy = "mount its disk, or make the first `dvc push`, which creates it"
        return Finding("remote", f"{remote.name} is {path}, which does not exist", remedy=remedy)
    may = "can be read and written to" if os.access(path, os.W_OK) else "can be read, but not written to"
    return Finding("remote", f"{remote.name} is {path}, which {may}")


def _bucket(remote: "Remote") -> Finding:
    """Makes the requests of a `dvc pull` and of a `dvc push`, and leaves nothing behind.

    An upload in parts needs the right to write. It leaves nothing if it is aborted before the first part.
    """
    client = _impatient(remote.fs)
    bucket, _, folder = remote.path.strip("/").partition("/")
    prefix = f"{folder}/" if folder else ""
    url = f"{remote.name} is s3://{bucket}/{folder}"
    client.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}files/md5/00", MaxKeys=1)
    place = {"Bucket": bucket, "Key": f"{prefix}train-resnet-doctor"}
    try:
        upload = client.call_s3("create_multipart_upload", **place)
        client.call_s3("abort_multipart_upload", **place, UploadId=upload["UploadId"])
    except PermissionError:
        return Finding("remote", f"{url}, which can be read, but not written to with these credentials")
    return Finding("remote", f"{url}, which can be read and written to")


def _impatient(fs: Any) -> Any:
    """The client of s3fs that a file system of DVC uses, without repetitions: s3fs and botocore make 25 attempts together."""
    given = fs.fs_args.setdefault("config_kwargs", {})
    given["retries"] = {"total_max_attempts": 1}
    for name in ("connect_timeout", "read_timeout"):
        given[name] = min(_SECONDS, given.get(name, _SECONDS))
    fs.fs.retries = 1
    return fs.fs


def _published(dvc: Path) -> Iterator[Finding]:
    """Secrets in the file that Git keeps."""
    for section, given in settings(dvc, "config").items():
        match = REMOTE.fullmatch(section)
        for secret in (name for name in _SECRETS if match and name in given):
            assert match
            remedy = f"dvc remote modify {match[1]} --unset {secret}; set it again with --local; replace it if it was committed"
            yield Finding("remote", f"{secret} of {match[1]} is in .dvc/config, which Git keeps", wrong=True, remedy=remedy)
