"""The checksum that a storage keeps of an object, computed again while the object is read from its start to its end.

A part of an object comes without a checksum, so neither botocore nor s3fs notices wrong bytes in it. S3 keeps one of the whole:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html. Which one depends on the program
that uploaded the object.

- `x-amz-checksum-sha256` or `-crc32` of the whole object, which newer programs send.
- The ETag is the MD5 of an object that was uploaded in one request, unless it was encrypted with a key of KMS or the customer.
- The ETag of an object that was uploaded in parts is the MD5 of the MD5s of its parts, then `-` and the number of parts.
  Most programs make parts of one size and a smaller last one, so the size of the first part tells where all of them end.
  Some do not: if the checksum differs, the sizes of all parts are asked for, and if they differ too, nothing is known.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

_ETAG = re.compile(r'"?([0-9a-f]{32})(?:-([1-9][0-9]*))?"?')


class Sum(Protocol):
    """A checksum that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes."""

    def hexdigest(self) -> str:
        """The checksum of the bytes so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Parts:
    """The ETag of an upload in parts, without the number of the parts."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._part = _md5()
        self._whole = _md5()

    def update(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._whole.update(self._part.digest())
                self._part, self._left = _md5(), self._size
            now = view[: self._left]
            self._part.update(now)
            self._left -= len(now)
            view = view[len(now) :]

    def hexdigest(self) -> str:
        whole = self._whole.copy()
        whole.update(self._part.digest())
        return whole.hexdigest()


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


class ObjectSum:
    """The checksum of an object that is read from its start.

    Args:
        expected: what the storage keeps, in hexadecimal digits.
        running: computes it.
        applies: whether a difference means wrong bytes; asked only if there is one.
    """

    def __init__(self, expected: str, running: Sum, applies: Callable[[], bool] = lambda: True) -> None:
        self.expected = expected
        self._running = running
        self._applies = applies

    def update(self, data: bytes) -> None:
        """Takes the next bytes of the object."""
        self._running.update(data)

    def found(self) -> str:
        """The checksum of the bytes so far, in hexadecimal digits."""
        return self._running.hexdigest()

    def proves_damage(self) -> bool:
        """Whether the bytes so far, which are the whole object, are not those that were uploaded."""
        return self.found() != self.expected and self._applies()


def kept_sum(head: Mapping[str, Any], part_size: Callable[[int], int]) -> Callable[[], ObjectSum] | None:
    """What makes an `ObjectSum` for each reading of an object; None if the storage has no checksum that can be computed here.

    Args:
        head: the answer to HEAD with the checksum mode, as botocore returns it.
        part_size: asks for the size in bytes of a part, counted from 1, of an object that was uploaded in parts.
    """
    match = _ETAG.fullmatch(head.get("ETag", ""))
    in_parts = match is not None and match[2] is not None
    # Of an upload in parts it may be a checksum of their checksums. Only Amazon's storage says which of the two it is.
    if head.get("ChecksumType", "" if in_parts else "FULL_OBJECT") == "FULL_OBJECT":
        for name, new in (("ChecksumSHA256", hashlib.sha256), ("ChecksumCRC32", _Crc32)):
            if name in head:
                expected = base64.b64decode(head[name]).hex()
                return lambda: ObjectSum(expected, new())
    encrypted = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    if match is None or encrypted:
        return None
    if match[2] is None:
        return lambda: ObjectSum(match[1], _md5())
    size, number = part_size(1), int(match[2])
    if -(-head["ContentLength"] // max(size, 1)) != number:
        return None  # the parts have different sizes, or the storage does not say them
    return lambda: ObjectSum(match[1], _Parts(size), lambda: all(part_size(part) == size for part in range(2, number)))
