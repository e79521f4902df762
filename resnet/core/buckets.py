"""Access to buckets, by fsspec (https://filesystem-spec.readthedocs.io), which DVC uses too.

S3 takes its credentials and its address from the usual places: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `~/.aws`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A server that does not answer must not hold up a command for long; by default botocore waits for 60 s.
_S3 = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2}}}
_PASSWORD = re.compile(r"//\S*@")  # a password may have @ or / in it, although they should be encoded
_BELOW_HOST = re.compile(r"(https?://[^/\s\"']+)/[^\s\"']*")  # keys and signatures, hundreds of characters


class BucketError(Exception):
    """A bucket could not be used; the text is the reason, in one line without a full stop."""


def open_bucket(url: str) -> tuple[Any, str]:
    """The file system of a bucket, and the path in it.

    Args:
        url: as fsspec takes it, such as `s3://bucket/folder`.

    Raises:
        BucketError: the address has no meaning, or a package for it is not installed.
    """
    import fsspec

    with explained():
        options: dict[str, Any] = _S3 if url.startswith("s3://") else {}
        files, path = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
    files.retries = 1  # s3fs would repeat five times what botocore has repeated
    return files, path


def without_password(text: str) -> str:
    """A text in which the addresses have no user and password."""
    return _PASSWORD.sub("//...@", text)


@contextmanager
def explained() -> Iterator[None]:
    """Turns any error of a client in the block into a `BucketError`: clients raise errors of many kinds and of many lines."""
    try:
        yield
    except BucketError:
        raise
    except ImportError as error:
        remedy = ": run pip install 'train-resnet[s3]'" if "s3fs" in str(error) else ""
        raise BucketError(f"a package is missing ({str(error).rstrip('.')}){remedy}") from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BucketError(without_password(_BELOW_HOST.sub(r"\1", lines[0])).rstrip(".:")) from error
