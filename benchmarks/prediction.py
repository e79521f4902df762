"""The speed of `train-resnet predict` on a folder of photographs; the target is 60 % of the network's own rate.

    python -m benchmarks.prediction [--images 2000] [--rounds 5] [--json FILE]

`network` is the inference benchmark. `decoding` only reads and decodes the photographs. `predict` does both, timed from the
first file to the last prediction. `command` is `train-resnet predict` including its start.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.command import repeat, report
from benchmarks.contenders import Measure, compare, serve, summarise

SIZE, BATCH = 224, 32
CONTENDERS = ("network", "decoding", "predict", "command")
SECONDS = 4.0


def make(name: str, folder: Path) -> Measure:
    """Makes the measuring function of a contender."""
    if name == "network":
        from benchmarks.inference import ours

        images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
        step = ours("ours", SIZE, images)
        for _ in range(2):
            step()
        return repeat(step, BATCH, SECONDS)
    passes: dict[str, Callable[[], Callable[[], int]]] = {
        "decoding": lambda: _decoding(folder),
        "predict": lambda: _predict(folder),
        "command": lambda: lambda: _command(folder),
    }
    run = passes[name]()

    def measure() -> dict[str, float]:
        began = time.perf_counter()
        images = run()
        return {"images_per_second": images / (time.perf_counter() - began)}

    return measure


def _decoding(folder: Path) -> Callable[[], int]:
    from resnet.prediction.image_files import find_images, open_archives
    from resnet.prediction.prediction import decode_files

    return lambda: sum(1 for _ in decode_files(open_archives(find_images([str(folder / "photographs")])), SIZE))


def _predict(folder: Path) -> Callable[[], int]:
    from commands.predict import AHEAD, load_network
    from resnet.network.archive import model_facts, read_model
    from resnet.prediction.engines import choose_engine
    from resnet.prediction.image_files import find_images, open_archives
    from resnet.prediction.prediction import decode_files, in_batches, predict, reading_ahead

    path = folder / "model.keras"
    file = read_model(path)
    network = load_network(path, file, model_facts(path, file), choose_engine("auto", "auto"))
    network(np.zeros((BATCH, SIZE, SIZE, 3), np.uint8))

    def run() -> int:
        files = open_archives(find_images([str(folder / "photographs")]))
        with reading_ahead(in_batches(decode_files(files, SIZE), BATCH), AHEAD) as batches:
            return sum(1 for _ in predict(network, batches))

    return run


def _command(folder: Path) -> int:
    command = [sys.executable, "-m", "commands", "predict", "--model", str(folder / "model.keras"), str(folder / "photographs")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("\n")


def _prepare(folder: Path, images: int) -> None:
    """Writes photographs and a network; the contenders are other processes, which start without TensorFlow loaded."""
    from benchmarks.decoding import make_photographs
    from resnet.network.startup import start_tensorflow

    make_photographs(folder / "photographs", images)
    start_tensorflow()
    from benchmarks.inference import CLASSES, trained_network
    from resnet.network.saving import save_model

    save_model(trained_network(SIZE, [f"class {number}" for number in range(CLASSES)]), folder / "model.keras")


def main() -> int:
    """Runs the benchmark, or with `--contender` the process of one contender; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        serve(make(given.contender, given.folder))
        return 0
    with tempfile.TemporaryDirectory() as name:
        _prepare(Path(name), given.images)
        rounds = compare("benchmarks.prediction", CONTENDERS, ["--folder", name], given.rounds)
    rows = summarise(rounds, "images_per_second", "predict")
    title = f"Prediction: {given.images} photographs of about 640 x 480, {SIZE} px, batch {BATCH}"
    report(title, "python -m benchmarks.prediction", rows, rounds=rounds, first="predict", path=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
