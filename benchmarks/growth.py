"""How time and memory of a training step grow with the size of the images and of the batch."""

import argparse
import math
import sys
from pathlib import Path

from benchmarks.command import OURS, write
from benchmarks.contenders import Rounds, compare

SIZES = (32, 64, 128, 224)
BATCHES = (8, 32, 128)
HEAD = """## Growth

    python -m benchmarks.growth

| px | batch | step, s | peak memory, MB | images/s |
|---|---|---|---|---|"""


def main() -> int:
    """Measures each size with each batch, alone, and prints the exponents of time in pixels and in images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--seconds", type=float, default=2.0, help="that each is measured for at least")
    parser.add_argument("--json", type=Path, help="file for all figures")
    arguments = parser.parse_args()
    lines = [HEAD]
    rounds: Rounds = {}
    for size in arguments.sizes:
        for batch in arguments.batches:
            options = ["--size", str(size), "--batch", str(batch), "--seconds", str(arguments.seconds)]
            answer = compare("benchmarks.training", [OURS], options, 1)[OURS][0]
            rounds[f"{size} px, batch {batch}"] = [answer]
            rate = answer["images_per_second"]
            lines.append(f"| {size} | {batch} | {batch / rate:.3f} | {answer['peak_memory_mb']:.0f} | {rate:.1f} |")
    lines += ["", slope(rounds, arguments.sizes, arguments.batches)]
    write("\n".join(lines) + "\n", [], rounds, arguments.json)
    return 0


def slope(rounds: Rounds, sizes: list[int], batches: list[int]) -> str:
    """The exponents, between the ends of each scale at the other's largest."""

    def seconds(size: int, batch: int) -> float:
        return batch / rounds[f"{size} px, batch {batch}"][0]["images_per_second"]

    last = seconds(sizes[-1], batches[-1])
    parts = []
    for name, least, ratio in (
        ("pixels", seconds(sizes[0], batches[-1]), (sizes[-1] / sizes[0]) ** 2),
        ("images in a batch", seconds(sizes[-1], batches[0]), batches[-1] / batches[0]),
    ):
        if ratio > 1:
            parts.append(f"the power {math.log(last / least) / math.log(ratio):.2f} of the {name}")
    return f"The time of a step grows with {' and with '.join(parts)}." if parts else ""


if __name__ == "__main__":
    sys.exit(main())
