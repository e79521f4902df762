"""The unpacked bytes of a compressed file, against the bytes that were packed."""

import bz2
import gzip
import lzma
import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.archives.entries import Allowance
from resnet.ingestion.archives.streams import Compression, UnpackedStream

PACKERS: dict[Compression, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
DATA = random.Random(0).randbytes(600_000)  # more than two chunks


@contextmanager
def opened(folder: Path, packed: bytes, compression: Compression) -> Iterator[UnpackedStream]:
    path = folder / "x.tar"
    path.write_bytes(packed)
    with path.open("rb") as file:
        yield UnpackedStream(path, file, compression, Allowance(path))


@pytest.mark.parametrize("compression", PACKERS)
def test_reading_peeking_and_seeking_give_what_was_packed(compression: Compression, tmp_path: Path) -> None:
    with opened(tmp_path, PACKERS[compression](DATA), compression) as stream:
        assert stream.read(10) == DATA[:10]
        assert (stream.peek(20), stream.tell()) == (DATA[10:30], 10)
        assert stream.read(5) == DATA[10:15]
        assert stream.read(300_000) == DATA[15:300_015]
        assert stream.seek(500_000) == 500_000
        assert (stream.read(10**9), stream.read(1)) == (DATA[500_000:], b"")


@pytest.mark.parametrize("compression", PACKERS)
def test_seeking_after_peeking_stays_in_step(compression: Compression, tmp_path: Path) -> None:
    with opened(tmp_path, PACKERS[compression](DATA), compression) as stream:
        stream.peek(1000)
        stream.seek(400)
        assert stream.read(1000) == DATA[400:1400]


def test_seeking_back_is_an_error(tmp_path: Path) -> None:
    with opened(tmp_path, DATA, "") as stream:
        stream.read(100)
        with pytest.raises(tarfile.ReadError, match="leads back to byte 99"):
            stream.seek(99)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_several_streams_in_a_row_are_one(compression: Compression, tmp_path: Path) -> None:
    pack = PACKERS[compression]
    with opened(tmp_path, pack(DATA[:1000]) + pack(DATA[1000:2000]), compression) as stream:
        assert stream.read(10_000) == DATA[:2000]


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_cut_damaged_and_followed_data_are_refused(compression: Compression, tmp_path: Path) -> None:
    packed = PACKERS[compression](DATA)
    for content, words in ((packed[:-1000], "truncated"), (packed + b"garbage!", "damaged"), (b"no packed data", "damaged")):
        with opened(tmp_path, content, compression) as stream, pytest.raises(UserError, match=words):
            while stream.read(100_000):
                pass


def test_a_disk_that_fails_is_no_damage_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: gzip.GzipFile, buffer: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(gzip.GzipFile, "readinto", fail)
    with opened(tmp_path, gzip.compress(DATA), "gzip") as stream, pytest.raises(OSError, match="Input/output error"):
        stream.read(1)
