"""Hostile tar archives, also compressed ones.

`tarfile` packs the headers, which are then changed.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from resnet.images.outcomes import Reason
from tests.hostile.expectation import IMAGE, MIB, Hostile, Left, hostile


def _member(name: str, data: bytes = IMAGE, kind: bytes = tarfile.REGTYPE, target: str = "", size: int | None = None) -> bytes:
    """A GNU header and its data; `size` is what the header declares."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(data) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def _pax(records: bytes, name: str = "x", kind: bytes = tarfile.XHDTYPE, size: int | None = None) -> bytes:
    """A member after an extended header of these records."""
    return _member("pax", records, kind, size=size) + _member(name)


def _record(keyword: str, value: bytes) -> bytes:
    rest = b" " + keyword.encode() + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length += 1
    return str(length).encode() + rest


def tarred(*members: bytes, end: bytes = bytes(1024)) -> bytes:
    """A tar archive."""
    return b"".join(members) + end


def _tar_names() -> Iterator[Hostile]:
    bad = Reason.NAME_NOT_USABLE
    long = "ab/" * 1365 + "cd"
    for file, member, shown, words in (
        ("absolute.tar", _member("/etc/passwd"), "/etc/passwd", "absolute"),
        ("climbing.tar", _member("../../outside.png"), "../../outside.png", "'..'"),
        ("climbing-long.tar", _member("a/" * 99 + "../" * 101 + "x"), "a/" * 99 + "../" * 101 + "x", "'..'"),
        ("backslash.tar", _member(r"..\x.png"), r"..\x.png", "'..'"),
        ("not-utf-8.tar", _member("caf\udce9.png"), r"caf\xe9.png", "not UTF-8"),
        ("long-part.tar", _member("é" * 128), "é" * 128, "255 bytes"),
        ("long-name.tar", _member(long), long[:300] + "...", "4096 bytes"),
        ("pax-absolute.tar", _pax(_record("path", b"/etc/x")), "/etc/x", "absolute"),
        ("pax-climbing.tar", _pax(_record("path", b"../x")), "../x", "'..'"),
        ("pax-nul.tar", _pax(_record("path", b"x.png\0.exe")), r"x.png\x00.exe", "NUL"),
        ("pax-not-utf-8.tar", _pax(_record("path", b"\xff\xfe")), r"\xff\xfe", "not UTF-8"),
        ("climbing-folder.tar", _member("../cats/", b"", tarfile.DIRTYPE), "../cats", "'..'"),
    ):
        yield hostile(file, tarred(member, _member("good.png")), (shown, bad, words), accepted=("good.png",))
    yield hostile(
        "twice.tar",
        tarred(_member("a/x.png"), _member("./a/x.png", b"other")),
        ("./a/x.png", bad, "same"),
        accepted=("a/x.png",),
    )
    everywhere = tarred(_pax(_record("path", b"same.png"), kind=tarfile.XGLTYPE), _member("other.png"))
    yield hostile("pax-for-all.tar", everywhere, ("same.png", bad, "same name"), accepted=("same.png",))
    names = ("a\nb\"',;.png", "\N{CAT FACE}/=1+1.png", "a" * 255, "x" * 99 + "/" + "y" * 200)
    yield hostile("odd-names.tar", tarred(*map(_member, names)), accepted=names)


def _tar_members() -> Iterator[Hostile]:
    sparse = bytearray(_member("x", b"", tarfile.GNUTYPE_SPARSE)[:512])
    sparse[483:495] = b"77777777777\0"  # its size with the holes: 8 GiB
    sparse[482] = 1  # another block of the list of holes follows
    sparse_1 = _record("GNU.sparse.major", b"1") + _record("GNU.sparse.minor", b"0") + _record("GNU.sparse.name", b"x")
    unreadable = Reason.UNREADABLE
    for file, member, words in (
        ("link.tar", _member("x", b"", tarfile.SYMTYPE, "../../etc/passwd"), "symbolic link to '../../etc/passwd'"),
        ("link-within.tar", _member("x", b"", tarfile.SYMTYPE, "good.png"), "symbolic link to 'good.png'"),
        ("link-of-a-size.tar", _member("x", b"", tarfile.LNKTYPE, "good.png", size=700), "hard link"),
        ("hard-link.tar", _member("x", b"", tarfile.LNKTYPE, "/etc/shadow"), "hard link to '/etc/shadow'"),
        ("device.tar", _member("x", b"", tarfile.CHRTYPE), "character device"),
        ("disk.tar", _member("x", b"", tarfile.BLKTYPE), "block device"),
        ("fifo.tar", _member("x", b"", tarfile.FIFOTYPE), "FIFO"),
        ("unknown-kind.tar", _member("x", kind=b"M"), "kind"),
        ("sparse.tar", _checked(sparse) + bytes(512), "sparse"),
        ("pax-sparse.tar", _pax(sparse_1, "GNUSparseFile.0/x"), "sparse"),
    ):
        yield hostile(file, tarred(member, _member("good.png")), ("x", unreadable, words), accepted=("good.png",))
    too_large: Left = ("x", Reason.TOO_LARGE, "135,266,304")
    yield hostile("large.tar", _large_tar, too_large, accepted=("good.png",))


def _checked(header: bytearray) -> bytes:
    """The header with its checksum, for which its own field counts as blanks."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _large_tar(path: Path) -> None:
    """Contains a file of 129 MiB that is a hole in the file system."""
    with path.open("wb") as file:
        file.write(_member("x", b"", size=129 * MIB))
        file.seek(129 * MIB, io.SEEK_CUR)
        file.write(tarred(_member("good.png")))


def _tar_wholes() -> Iterator[Hostile]:
    negative = bytearray(_member("x")[:512])
    negative[124:136] = b"\xff" * 11 + b"\0"  # -256 in base 256
    good = tarred(_member("good.png"), _member("better.png"))
    cases: list[tuple[str, bytes, str]] = [
        ("empty.tar", b"", "empty"),
        ("text.tar", b"path,label\n" * 99, "not a tar archive"),
        ("short.tar", good[:99], "not a tar archive"),
        ("cut-in-file.tar", good[:1000], "'good.png'"),
        ("cut-in-padding.tar", good[: 512 + 701], "truncated"),
        ("cut-in-header.tar", good[: 1536 + 100], "no end-of-archive marker"),
        ("without-end.tar", good[:-1024], "no end-of-archive marker"),
        ("damaged-header.tar", tarred(_member("good.png"), _member("better.png").replace(b"better", b"butter")), "damaged"),
        ("more-behind.tar", good + b"more", "follow its end-of-archive marker"),
        ("joined.tar", good + good, "follow its end-of-archive marker"),
        ("negative.tar", tarred(_checked(negative)), "-256 bytes"),
        ("lying-size.tar", tarred(_member("x", size=2**33)), "truncated"),
        ("pax-size.tar", tarred(_pax(_record("size", b"9" * 15))), "truncated"),
        ("pax-negative.tar", tarred(_pax(_record("size", b"-1024"))), "-1,024 bytes"),
        ("pax-endless-size.tar", tarred(_pax(_record("size", b"9" * 5000))), "damaged"),
        ("pax-huge.tar", tarred(_pax(b"", size=2**33)), "extended header declares 8,589,934,592"),
        ("pax-cut.tar", _member("pax", b"12 path=abc\n", tarfile.XHDTYPE)[:520], "extended header"),
        ("pax-digits.tar", tarred(_pax(b"9" * MIB)), "extended header"),
        ("pax-nought.tar", tarred(_pax(b"0 path=x\n")), "extended header"),
        ("pax-no-newline.tar", tarred(_pax(b"10 path=abc")), "extended header"),
        ("name-huge.tar", tarred(_member("x", b"", tarfile.GNUTYPE_LONGNAME, size=2**34)), "17,179,869,184"),
        ("sparse-endless.tar", _endless_sparse_map(), "makes no sense"),
        ("packed.tar", gzip.compress(good), "rename it"),
        ("zipped.tar.gz", b"PK\x03\x04" + good, "rename it"),
        ("of-xz.tar.gz", lzma.compress(good), "rename it"),
    ]
    for file, content, words in cases:
        yield hostile(file, content, refused=words)
    chain = _member("pax", _record("comment", b"x"), tarfile.XGLTYPE) * 3000
    yield hostile("chain.tar", tarred(chain, _member("good.png")), accepted=("good.png",))


def _endless_sparse_map() -> bytes:
    header = bytearray(_member("x", b"", tarfile.GNUTYPE_SPARSE)[:512])
    header[482] = 1
    block = bytes(504) + b"\1" + bytes(7)
    return _checked(header) + block * 5000


def _compressed_tars() -> Iterator[Hostile]:
    good = tarred(_member("good.png"), end=bytes(10240))
    packed_gz, packed_bz2, packed_xz = gzip.compress(good), bz2.compress(good), lzma.compress(good)
    for suffix, packed in (("gz", packed_gz), ("bz2", packed_bz2), ("xz", packed_xz)):
        yield hostile(f"cut.tar.{suffix}", packed[: len(packed) // 2], refused="break")
        yield hostile(f"cut-at-end.tar.{suffix}", packed[:-2], refused="break")
        yield hostile(f"damaged.tar.{suffix}", packed[:-200] + b"\x55" * 20 + packed[-180:], refused="damaged")
        yield hostile(f"of-text.tar.{suffix}", _packers[suffix](IMAGE), refused="not a tar archive")
        yield hostile(f"of-nothing.tar.{suffix}", _packers[suffix](b""), refused="empty")
        yield hostile(f"text.tar.{suffix}", b"path,label\n" * 99, refused="damaged")
        yield hostile(f"garbage.tar.{suffix}", packed + b"<html>not found</html>", refused="damaged")
        in_pieces = _packers[suffix](good[:600]) + _packers[suffix](good[600:])
        yield hostile(f"in-pieces.tar.{suffix}", in_pieces, accepted=("good.png",))
        yield hostile(f"padded.tar.{suffix}", packed + bytes(600 * 1024), accepted=("good.png",))
        yield hostile(f"bomb.tar.{suffix}", partial(_packed_bomb, suffix), refused="decompression bomb")
        yield hostile(f"bomb-behind.tar.{suffix}", partial(_bomb_behind, suffix, packed), refused="bomb")
    yield hostile("checksum.tar.gz", packed_gz[:-8] + b"\1\2\3\4" + packed_gz[-4:], refused="damaged")
    yield hostile("dictionary.tar.xz", _with_a_dictionary_of_4_gib(packed_xz), refused="128 MiB of memory")
    crowd = b"".join(_member(f"{number}.png", b"") for number in range(1000))
    yield hostile("crowd.tar.gz", gzip.compress(crowd) * 60 + gzip.compress(bytes(1024)), refused="bytes on average")


_packers: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
}


@cache
def _zeros(suffix: str) -> bytes:
    """A compressed stream of 16 MiB of zeros, to be repeated."""
    return _packers[suffix](bytes(16 * MIB))


def _packed_bomb(suffix: str, path: Path) -> None:
    """A file of 8 GiB of zeros."""
    pack = _packers[suffix]
    path.write_bytes(pack(_member("x", b"", size=2**33)) + _zeros(suffix) * 512 + pack(bytes(1024)))


def _bomb_behind(suffix: str, packed: bytes, path: Path) -> None:
    """1 GiB of zeros after the end of the archive."""
    path.write_bytes(packed + _zeros(suffix) * 64)


def _with_a_dictionary_of_4_gib(packed: bytes) -> bytes:
    """Changes the header of the first block: size, flags, filter 0x21, size of properties, dictionary size, ..., CRC-32."""
    data = bytearray(packed)
    end = 12 + (data[12] + 1) * 4
    data[16] = 40
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    return bytes(data)


TARS = [*_tar_names(), *_tar_members(), *_tar_wholes(), *_compressed_tars()]
