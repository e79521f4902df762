"""Which checksum of an object is computed again, and with which result."""

import base64
import hashlib
from itertools import pairwise
from typing import Any

import pytest

from resnet.ingestion.object_sums import kept_sum

# Of RFC 1321, FIPS 180-2 and the catalogue of CRCs (https://reveng.sourceforge.io/crc-catalogue).
MD5_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
CRC32_OF_DIGITS = "cbf43926"


def refuse(part: int) -> int:
    raise AssertionError("the size of the parts is not needed")


@pytest.mark.parametrize(
    ("head", "pieces", "expected"),
    [
        ({"ETag": f'"{MD5_OF_ABC}"'}, [b"abc"], MD5_OF_ABC),
        ({"ETag": f'"{MD5_OF_ABC}"', "ServerSideEncryption": "AES256"}, [b"a", b"", b"bc"], MD5_OF_ABC),
        (
            {"ETag": '"0"', "ChecksumSHA256": base64.b64encode(bytes.fromhex(SHA256_OF_ABC)).decode()},
            [b"ab", b"c"],
            SHA256_OF_ABC,
        ),
        (
            {"ETag": '"0"', "ServerSideEncryption": "aws:kms", "ChecksumCRC32": "y/Q5Jg==", "ChecksumType": "FULL_OBJECT"},
            [b"1234", b"56789"],
            CRC32_OF_DIGITS,
        ),
    ],
)
def test_the_sum_of_the_whole_object_is_computed(head: dict[str, Any], pieces: list[bytes], expected: str) -> None:
    new = kept_sum(head, refuse)
    assert new is not None
    for _ in range(2):  # each reading has its own
        kept = new()
        for piece in pieces:
            kept.update(piece)
        assert kept.found() == kept.expected == expected


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"ETag": "CKih16GjycICEAE="},
        {"ETag": f'"{MD5_OF_ABC}"', "ServerSideEncryption": "aws:kms"},
        {"ETag": f'"{MD5_OF_ABC}"', "ServerSideEncryption": "AES256", "SSECustomerAlgorithm": "AES256"},
        {"ETag": '"0"', "ChecksumCRC32": "y/Q5Jg==-2", "ChecksumType": "COMPOSITE"},
        {"ETag": f'"{MD5_OF_ABC}-2"', "ServerSideEncryption": "aws:kms", "ChecksumCRC32": "y/Q5Jg=="},
        {"ETag": f'"{MD5_OF_ABC}"', "ServerSideEncryption": "aws:kms", "ChecksumCRC64NVME": "AAAAAAAAAAA="},
    ],
)
def test_what_cannot_be_computed_is_no_sum(head: dict[str, Any]) -> None:
    assert kept_sum(head, refuse) is None


@pytest.mark.parametrize("cuts", [[0, 11], [0, 1, 4, 5, 11], list(range(12))])
def test_the_sum_of_parts_does_not_depend_on_how_the_object_is_read(cuts: list[int]) -> None:
    content = b"hello world"
    parts = [hashlib.md5(part).digest() for part in (b"hell", b"o wo", b"rld")]
    etag = hashlib.md5(b"".join(parts)).hexdigest()
    new = kept_sum({"ETag": f'"{etag}-3"', "ContentLength": 11, "ChecksumCRC32": "y/Q5Jg=="}, lambda part: 4)
    assert new is not None
    kept = new()
    for start, end in pairwise(cuts):
        kept.update(content[start:end])
    assert kept.found() == kept.expected == etag


@pytest.mark.parametrize("size", [0, 5, 11])
def test_parts_of_unknown_or_different_sizes_are_no_sum(size: int) -> None:
    assert kept_sum({"ETag": f'"{MD5_OF_ABC}-5"', "ContentLength": 11}, lambda part: size) is None


def test_parts_of_different_sizes_prove_nothing() -> None:
    sizes = {1: 4, 2: 3, 3: 4}
    new = kept_sum({"ETag": f'"{MD5_OF_ABC}-3"', "ContentLength": 11}, sizes.__getitem__)
    assert new is not None
    one = new()
    one.update(b"abcdefghijk")
    assert not one.proves_damage()
    sizes[2] = 4
    assert one.proves_damage()
