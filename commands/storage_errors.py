"""Words what the storage behind a DVC remote reports: credentials, buckets, servers that do not answer."""

from collections.abc import Iterator

from resnet.core.errors import UserError

_CREDENTIALS = "correct the credentials; docs/sharing.md says where DVC finds them"
_RIGHTS = "use other credentials, or let the owner of the bucket allow s3:ListBucket, s3:GetObject and s3:PutObject"
_ADDRESS = "check the network and the address, which `dvc config --list` shows"
_URL = "make it, or correct `dvc remote modify {remote} url s3://BUCKET/FOLDER`"
_REGION = "name its region: `dvc remote modify {remote} region REGION`"
_AGAIN = "run the command again, which goes on where it stopped"
# What an error means and what to do, by the code that S3 answers or by the name of a class of botocore, aiohttp or Python:
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. Answers to HEAD have a number instead of a code.
_MEANINGS = {
    "NoCredentialsError": ("no credentials were found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; see docs/sharing.md"),
    "PartialCredentialsError": ("a part of the credentials is missing", _CREDENTIALS),
    "ProfileNotFound": ("there is no such profile of credentials", _CREDENTIALS),
    "InvalidAccessKeyId": ("the storage does not know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", _CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", "get new ones"),
    "InvalidToken": ("the session token is not valid", _CREDENTIALS),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set the clock"),
    "AccessDenied": ("access is denied to these credentials", _RIGHTS),
    "AllAccessDisabled": ("access is denied to these credentials", _RIGHTS),
    "403": ("access is denied to these credentials", _RIGHTS),
    "NoSuchBucket": ("there is no such bucket", _URL),
    "InvalidBucketName": ("no bucket can have this name", _URL),
    "ParamValidationError": ("no bucket can have this name", _URL),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "SlowDown": ("the storage is overloaded", _AGAIN),
    "ServiceUnavailable": ("the storage is not available now", _AGAIN),
    "InternalError": ("the storage has an internal error", _AGAIN),
    "500": ("the storage has an internal error", _AGAIN),
    "503": ("the storage is not available now", _AGAIN),
    "SSLError": ("the certificate of the storage was refused", _ADDRESS),
    "ClientConnectorError": ("no server answers there", _ADDRESS),
    "EndpointConnectionError": ("no server answers there", _ADDRESS),
    "ConnectTimeoutError": ("no server answers there in time", _ADDRESS),
    "ReadTimeoutError": ("the storage does not answer in time", _AGAIN),
    "TimeoutError": ("the storage does not answer in time", _AGAIN),
    "ResponseParserError": ("the answer of the storage is incomplete", _AGAIN),
    "IncompleteReadError": ("the answer of the storage is incomplete", _AGAIN),
    "FlexibleChecksumError": ("the answer of the storage was damaged on the way", _AGAIN),
    "HTTPClientError": ("the connection to the storage was lost", _AGAIN),
    "ClientPayloadError": ("the connection to the storage was lost", _AGAIN),
    "ConnectionError": ("the connection to the storage was lost", _AGAIN),
    "PermissionError": ("access is denied", _RIGHTS),
}


def meaning(error: BaseException, remote: str) -> tuple[str, str] | None:
    """What an error of a storage means, and what to do.

    Args:
        error: what DVC, s3fs or botocore raised.
        remote: the name of the remote.

    Returns:
        None if it is no error of a storage.
    """
    from dvc.fs import RemoteMissingDepsError

    if isinstance(error, RemoteMissingDepsError):
        remedy = "run `make setup`" if error.protocol == "s3" else f"run `pip install 'dvc[{error.protocol}]'`"
        return f"DVC lacks {', '.join(error.missing_deps)}", remedy
    if isinstance(error, OSError) and error.filename is not None:
        return None  # of a file on this machine
    causes = list(_causes(error))
    codes = [_code(cause) for cause in causes]  # say more than the class that s3fs makes of them
    classes = [kind.__name__ for cause in causes for kind in type(cause).__mro__]
    for name in (*codes, *classes):
        if name in _MEANINGS:
            found, remedy = _MEANINGS[name]
            return found, remedy.format(remote=remote)
    if isinstance(error, OSError) or "BotoCoreError" in classes:
        said = getattr(error, "strerror", None) or str(error)
        return " ".join(said.split()) or type(error).__name__, _AGAIN
    return None


def unusable(error: BaseException, remote: str) -> UserError | None:
    """The error to raise if a remote cannot be used, or None if this is no error of a storage.

    Args:
        error: what DVC, s3fs or botocore raised.
        remote: the name of the remote.
    """
    known = meaning(error, remote)
    return UserError(f"the remote {remote!r} cannot be used, because {known[0]}: {known[1]}.") if known else None


def _code(error: BaseException) -> str:
    """What S3 answered, if botocore raised the error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what caused that."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
