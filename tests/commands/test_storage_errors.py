"""What S3, botocore and s3fs report, as sentences with what to do."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
)
from dvc.fs import RemoteMissingDepsError, localfs
from s3fs.errors import translate_boto_error

from commands.storage_errors import meaning, unusable

HERE = "http://127.0.0.1:1"


def answered(code: str, operation: str = "ListObjectsV2") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{code} of the test"}}, operation)


@pytest.mark.parametrize(
    ("error", "found", "remedy"),
    [
        (answered("InvalidAccessKeyId"), "does not know the access key", "docs/sharing.md"),
        (answered("SignatureDoesNotMatch"), "the secret key does not belong to the access key", "docs/sharing.md"),
        (answered("ExpiredToken"), "have expired", "get new ones"),
        (answered("RequestTimeTooSkewed"), "clock", "set the clock"),
        (answered("AccessDenied"), "access is denied", "s3:ListBucket, s3:GetObject and s3:PutObject"),
        (answered("403", "HeadObject"), "access is denied", "s3:ListBucket"),
        (answered("NoSuchBucket"), "no such bucket", "`dvc remote modify store url"),
        (answered("PermanentRedirect"), "another region", "`dvc remote modify store region REGION`"),
        (answered("SlowDown"), "overloaded", "run the command again"),
        (answered("InternalError"), "internal error", "run the command again"),
        (NoCredentialsError(), "no credentials", "AWS_ACCESS_KEY_ID"),
        (ProfileNotFound(profile="a"), "no such profile", "docs/sharing.md"),
        (EndpointConnectionError(endpoint_url=HERE), "no server answers there", "check the network"),
        (ConnectTimeoutError(endpoint_url=HERE), "no server answers there in time", "check the network"),
        (ReadTimeoutError(endpoint_url=HERE), "does not answer in time", "run the command again"),
        (SSLError(endpoint_url=HERE, error="x"), "certificate", "check the network"),
        (TimeoutError(), "does not answer in time", "run the command again"),
        (ConnectionResetError(104, "reset"), "connection to the storage was lost", "run the command again"),
    ],
)
def test_each_error_has_a_meaning_and_a_remedy(error: Exception, found: str, remedy: str) -> None:
    for each in (error, translate_boto_error(error) if isinstance(error, ClientError) else error):  # as s3fs raises it
        said = str(unusable(each, "store"))
        assert said.startswith("the remote 'store' cannot be used, because ")
        assert found in said
        assert remedy in said
        assert "\n" not in said


def test_a_missing_package_has_the_command_that_installs_it() -> None:
    lacking = RemoteMissingDepsError(localfs, "gs", "gs://bucket", ["gcsfs"])
    assert meaning(lacking, "store") == ("DVC lacks gcsfs", "run `pip install 'dvc[gs]'`")


def test_an_unknown_error_of_the_storage_keeps_its_words() -> None:
    assert meaning(translate_boto_error(answered("NewCode")), "store") == (
        "An error occurred (NewCode) when calling the ListObjectsV2 operation: NewCode of the test",
        "run the command again, which goes on where it stopped",
    )


def test_errors_of_this_machine_and_bugs_are_not_those_of_a_storage() -> None:
    assert meaning(PermissionError(13, "Permission denied", "/somewhere"), "store") is None
    assert unusable(KeyError("a"), "store") is None
