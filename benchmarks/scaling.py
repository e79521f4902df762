"""How time and memory of training scale with the size of the images, the batch size and the number of images."""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.command import OURS, figures, write
from benchmarks.contenders import Rounds, compare, serve
from benchmarks.training import add_network, make_trainer, network_option

SIZES = (32, 64, 128, 224)
BATCHES = (8, 32, 128)
IMAGES = (512, 2048, 8192)
SIZE, BATCH = 64, 32  # fixed while the other one is varied
HEAD = """## Scaling

    python -m benchmarks.scaling

| px | batch | step, s | peak memory, MB | images/s |
|---|---|---|---|---|"""
EPOCHS = """
| images of 32 px | epoch, s | peak memory, MB | images/s |
|---|---|---|---|"""


def epochs(images: int, network: str, size: int = 32, batch: int = 32) -> None:
    """Runs the process that measures: an epoch of `Trainer.fit` over images on disk.

    Args:
        images: in the epoch.
        network: one of `NETWORKS`.
        size: height and width in pixels.
        batch: images in a step.
    """
    trainer = make_trainer("ours", size, network)
    import numpy as np

    from resnet.dataset.arrays import Split, SplitWriter

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        splits = []
        for name, count in (("warm-up", batch), ("training", images)):
            with SplitWriter(Path(folder) / name, count, size) as writer:
                for row in range(count):
                    writer.add(pixels[row % batch], row % 10)
            splits.append(Split(Path(folder) / name, 10))
        warm_up, training = splits
        trainer.fit(warm_up, warm_up, epochs=1, batch_size=batch, seed=0)

        def turn() -> dict[str, float]:
            trainer.state.epoch, trainer.state.step = 1, 0
            began = time.perf_counter()
            trainer.fit(training, warm_up, epochs=1, batch_size=batch, seed=0)
            return figures(images, time.perf_counter() - began)

        serve(turn)


def main() -> int:
    """Measures one setting after the other and reports how time grows; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--seconds", type=float, default=2.0, help="least duration for which a step is repeated")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    add_network(parser)
    arguments = parser.parse_args()
    if arguments.contender:
        epochs(arguments.images[0], arguments.network)
        return 0
    network = network_option(arguments.network)
    rounds: Rounds = {}
    lines = [HEAD]
    for size, batch in dict.fromkeys([(size, BATCH) for size in arguments.sizes] + [(SIZE, one) for one in arguments.batches]):
        options = ["--size", str(size), "--batch", str(batch), "--seconds", str(arguments.seconds), *network]
        rounds[f"{size} px, batch {batch}"] = answers = compare("benchmarks.training", [OURS], options, 1)[OURS]
        lines.append(f"| {size} | {batch} | {_cells(answers[0], batch)} |")
    lines.append(EPOCHS)
    for images in arguments.images:
        options = ["--images", str(images), *network]
        rounds[f"{images} images"] = answers = compare("benchmarks.scaling", [OURS], options, 1)[OURS]
        lines.append(f"| {images} | {_cells(answers[0], images)} |")
    slopes = {
        "pixels": slope({size**2: _seconds(rounds[f"{size} px, batch {BATCH}"][0], BATCH) for size in arguments.sizes}),
        "images in a batch": slope({one: _seconds(rounds[f"{SIZE} px, batch {one}"][0], one) for one in arguments.batches}),
        "images in an epoch": slope({many: _seconds(rounds[f"{many} images"][0], many) for many in arguments.images}),
    }
    told = ", ".join(f"{exponent:.2f} in {what}" for what, exponent in slopes.items() if exponent is not None)
    write("\n".join([*lines, "", f"Exponents of time: {told}."]) + "\n", [], rounds, arguments.json)
    return 0


def slope(seconds: Mapping[int, float]) -> float | None:
    """Returns the exponent b in time = a * x^b from the smallest and the largest x; None for a single measurement."""
    least, most = min(seconds), max(seconds)
    return math.log(seconds[most] / seconds[least]) / math.log(most / least) if most > least else None


def _seconds(answer: Mapping[str, float], images: int) -> float:
    return images / answer["images_per_second"]


def _cells(answer: Mapping[str, float], images: int) -> str:
    return f"{_seconds(answer, images):.3g} | {answer['peak_memory_mb']:.0f} | {answer['images_per_second']:.1f}"


if __name__ == "__main__":
    sys.exit(main())
