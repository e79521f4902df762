"""The speed of decoding and resizing photographs: `load` in two threads against Keras's `image_dataset_from_directory`.

    python -m benchmarks.decoding [--images 2000] [--rounds 5] [--json FILE]

Photographs of about 640 x 480 pixels are seeded crops of the two in scikit-learn, in a temporary folder. The two readers take
turns; each pass over the photographs is a separate process. Only the pass is timed, after a warm-up of 64 images.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from resnet.images.decoding import load as load_image

SIZE = 224  # pixels
THREADS = 2
WARM_UP = 64


def make_photographs(folder: Path, images: int, seed: int = 0) -> None:
    """Writes JPEG files of 640 x 480 pixels ± 10 %, of quality 75 to 95, into two class folders."""
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(seed)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]  # 640 x 427 pixels
    for number in range(images):
        source = photographs[number % 2]
        height = int(generator.integers(320, source.height + 1))
        width = int(generator.integers(480, source.width + 1))
        left, top = (int(generator.integers(0, room + 1)) for room in (source.width - width, source.height - height))
        size = int(generator.integers(576, 705)), int(generator.integers(432, 529))
        crop = source.crop((left, top, left + width, top + height)).resize(size, Image.Resampling.BICUBIC)
        path = folder / ("china", "flower")[number % 2] / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop.save(path, quality=int(generator.integers(75, 96)))


class Clock:
    """Measures wall-clock time and processor time from its creation on."""

    def __init__(self) -> None:
        self.start, self.busy = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Returns seconds of wall-clock time, and seconds of processor time of all threads."""
        return time.perf_counter() - self.start, time.process_time() - self.busy


def pass_of_ours(folder: Path) -> tuple[float, float]:
    """Times one pass by `load`; returns seconds of wall-clock time and of processor time."""

    def load(path: Path) -> int:
        return load_image(path.read_bytes(), SIZE).nbytes

    paths = sorted(folder.rglob("*.jpg"))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(load, paths[:WARM_UP]))
        clock = Clock()
        total = sum(pool.map(load, paths))
        seconds = clock.read()
    if total != len(paths) * SIZE * SIZE * 3:
        raise RuntimeError(f"{len(paths)} images gave {total} bytes")
    return seconds


def pass_of_keras(folder: Path) -> tuple[float, float]:
    """Times one pass by Keras; returns seconds of wall-clock time and of processor time."""
    import keras

    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=32, shuffle=False, verbose=False
    )
    for _ in data.take(WARM_UP // 32):
        pass
    clock = Clock()
    for _ in data:
        pass
    return clock.read()


PASSES: dict[str, Callable[[Path], tuple[float, float]]] = {"train-resnet": pass_of_ours, "keras": pass_of_keras}


def compare(images: int, rounds: int) -> dict[str, object]:
    """Measures images per second and milliseconds of processor time per image; returns all values, medians and the ratio."""
    rates: dict[str, list[float]] = {name: [] for name in PASSES}
    busy: dict[str, list[float]] = {name: [] for name in PASSES}
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder:
        make_photographs(Path(folder), images)
        for turn in range(rounds):
            for name in PASSES:
                command = [sys.executable, "-m", "benchmarks.decoding", "--pass", name, "--folder", folder]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                seconds, processors = map(float, done.stdout.split()[-2:])
                rates[name].append(images / seconds)
                busy[name].append(processors / images * 1000)
                print(
                    f"round {turn + 1}: {name} {rates[name][-1]:,.0f} images/s, {busy[name][-1]:.2f} ms of processor",
                    flush=True,
                )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "images": images,
        "images_per_second": rates,
        "processor_ms_per_image": busy,
        "median_images_per_second": medians,
        "ratio": medians["train-resnet"] / medians["keras"],
    }


def main() -> None:
    """Prints the rates and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pass", dest="name", choices=PASSES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.name:
        print(*PASSES[arguments.name](arguments.folder))
        return
    figures = compare(arguments.images, arguments.rounds)
    print(f"decode and resize: {figures['ratio']:.2f} times the rate of Keras")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
