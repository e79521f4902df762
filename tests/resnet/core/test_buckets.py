"""What the errors of buckets become."""

import pytest

from resnet.core.buckets import BucketError, explained, open_bucket, without_password


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("two\nlines."), "two"),
        (ValueError("Parameter validation failed:\nInvalid bucket name"), "Parameter validation failed"),
        (ValueError(), "ValueError"),
        (
            OSError('no answer of "http://127.0.0.1:5555/photos/E1?list-type=2&prefix=x"'),
            'no answer of "http://127.0.0.1:5555"',
        ),
        (OSError("https://me:secret@host/x"), "https://...@host"),
        (ImportError("Please install gcsfs."), "a package is missing (Please install gcsfs)"),
        (ImportError("no s3fs"), "a package is missing (no s3fs): run pip install 'train-resnet[s3]'"),
        (BucketError("as it is."), "as it is."),
    ],
)
def test_an_error_becomes_one_line(error: Exception, text: str) -> None:
    with pytest.raises(BucketError) as found, explained():
        raise error
    assert str(found.value) == text


def test_a_bucket_is_asked_each_time_and_not_for_long() -> None:
    files, path = open_bucket("s3://photos/runs")
    assert path == "photos/runs"
    assert (files.retries, files.dircache.use_listings_cache) == (1, False)
    assert files.config_kwargs["read_timeout"] == 20


def test_addresses_lose_their_passwords() -> None:
    assert without_password("ftp://me:secret@host/x and s3://bucket/y") == "ftp://...@host/x and s3://bucket/y"
    assert without_password("https://u:p@ss/word@host:1/x") == "https://...@host:1/x"
