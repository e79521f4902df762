"""Fuzzing of the decoder: every mutated image must give pixels, those of Pillow, or `BadFile`.

    python -m tests.soak.mutated_images [--images 100000] [--seed 0]

Prints the number of each outcome. At the first other exception it exits with 1 and keeps the file that caused it. It runs in
one process, so a crash in C code ends it; `--seed` and the last printed number tell where.
"""

import argparse
import io
import sys
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from resnet.images.decoding import inspect, load, resize_and_crop
from resnet.images.outcomes import BadFile
from tests.hostile.images import LIMIT, whole_images
from tests.hostile.odd_images import odd_images

SLOWEST = 5  # seconds that one image may take
SPECIAL = np.array([0, 1, 0x7F, 0x80, 0xFE, 0xFF], dtype=np.uint8)


def mutate(encoded: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """Makes one to four changes to bits, bytes and runs of bytes, more of them near the beginning, where headers are."""
    content = bytearray(encoded)
    for _ in range(int(generator.integers(1, 5))):
        if not content:
            break
        end = len(content) if generator.random() < 0.5 else min(len(content), 200)
        at, length = int(generator.integers(0, end)), int(generator.integers(1, 9))
        change = int(generator.integers(0, 9))
        if change == 0:
            content[at] ^= 1 << int(generator.integers(0, 8))
        elif change <= 2:
            content[at] = int(generator.integers(0, 256))
        elif change <= 4:
            content[at : at + length] = generator.choice(SPECIAL, min(length, len(content) - at)).tobytes()
        elif change == 5:
            del content[at : at + length]
        elif change == 6:
            content[at:at] = content[at : at + 4 * length]
        elif change == 7:
            start = int(generator.integers(0, len(other)))
            content[at : at + 8 * length] = other[start : start + 8 * length]
        else:
            del content[at + length * (len(content) - at) // 9 :]
    return bytes(content)


def repair_checksums(content: bytes) -> bytes:
    """Corrects the checksums of a PNG's chunks, so that a decoder reads their content; other files stay as they are."""
    if not content.startswith(b"\x89PNG"):
        return content
    repaired, position = bytearray(content), 8
    while position + 12 <= len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4])
        if end <= len(content):
            repaired[end - 4 : end] = zlib.crc32(content[position + 4 : end - 4]).to_bytes(4)
        position = end
    return bytes(repaired)


def soak(images: int, seed: int = 0) -> Counter[str]:
    """Decodes mutated images.

    Args:
        images: their number.
        seed: of the mutations.

    Returns:
        The number of accepted images, and the number of refused ones for each reason.

    Raises:
        RuntimeError: decoding raised another exception than `BadFile`, gave other pixels than Pillow does, or took more than
            `SLOWEST` seconds. The file is in `mutated-image`.
    """
    whole = [*whole_images().values(), *(odd.encoded for odd in odd_images())]
    outcomes: Counter[str] = Counter()
    for number in range(images):
        generator = np.random.default_rng([seed, number])
        encoded = mutate(whole[number % len(whole)], whole[int(generator.integers(0, len(whole)))], generator)
        encoded = repair_checksums(encoded) if number % 4 else encoded
        start = time.perf_counter()
        try:
            outcomes[_outcome(encoded)] += 1
        except Exception as error:
            Path("mutated-image").write_bytes(encoded)
            raise RuntimeError(f"image {number} of seed {seed}: {error!r}; `mutated-image` holds it") from error
        if time.perf_counter() - start > SLOWEST:
            Path("mutated-image").write_bytes(encoded)
            raise RuntimeError(f"image {number} of seed {seed} took more than {SLOWEST} s; `mutated-image` holds it")
        if number % 10_000 == 9_999:
            print(f"{number + 1:,} images", flush=True)
    return outcomes


def _outcome(encoded: bytes) -> str:
    try:
        facts, image = inspect(encoded, LIMIT, lambda image: image)
    except BadFile as error:
        return str(error.reason)
    if image.mode != "RGB" or image.size != (facts.width, facts.height):
        raise ValueError(f"{image.mode} of {image.size}, not RGB of {facts.width} x {facts.height}")
    # A GIF's frame may be smaller than its screen, which is then white.
    if facts.format != "GIF" and not {"16-bit", "alpha", "oriented"} & {*facts.flags}:
        _compare_with_pillow(encoded, image)
    resize_and_crop(image, 32)
    load(encoded, 8)  # an accepted image must not fail when it is decoded at a smaller scale
    return "accepted"


def _compare_with_pillow(encoded: bytes, image: Image.Image) -> None:
    """Raises `ValueError` if Pillow decodes the whole file, with its metadata, to other pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = Image.open(io.BytesIO(encoded))
            whole.load()
        except Exception:  # Pillow raises nearly every kind for metadata
            return
    if whole.mode in ("1", "L", "P", "RGB", "CMYK") and whole.convert("RGB").tobytes() != image.tobytes():
        raise ValueError(f"other pixels than Pillow's, which are {whole.mode} of {whole.size}")


def main() -> None:
    """Runs the fuzzer and prints the outcomes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        outcomes = soak(arguments.images, arguments.seed)
    except RuntimeError as error:
        sys.exit(str(error))
    for outcome, count in outcomes.most_common():
        print(f"{outcome:20} {count:8,}")


if __name__ == "__main__":
    main()
