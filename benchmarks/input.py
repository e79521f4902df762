"""The share of training time that is spent waiting for images on disk.

The arrays are written once. Before every turn they are dropped from the system's page cache.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import parser, report
from benchmarks.contenders import compare, serve, summarise
from benchmarks.training import add_network, make_trainer, network_option

STEPS = 8


def waiting(size: int, batch: int, network: str) -> None:
    """Runs the process that measures: the share of waiting in `STEPS` training steps with batches from disk."""
    trainer = make_trainer("ours", size, network)
    import numpy as np

    from resnet.dataset.arrays import Split, SplitWriter
    from resnet.dataset.batches import batches, epoch_order

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        count = STEPS * batch
        images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        with SplitWriter(Path(folder) / "split", count, size) as writer:
            for row in range(count):
                writer.add(images[row % batch], row % 10)
        draws = trainer.augmentation.draw(batch, 0, 1)

        def turn() -> dict[str, float]:
            _drop_from_page_cache(Path(folder) / "split")
            split = Split(Path(folder) / "split", 10)
            waited, began = 0.0, time.perf_counter()
            source = iter(batches(split, epoch_order(count, 0, 1), batch, drop_remainder=True))
            while True:
                asked = time.perf_counter()
                given = next(source, None)
                waited += time.perf_counter() - asked
                if given is None:
                    break
                float(trainer.train_step(given[0], given[1], draws)[0])
            return {"share_of_waiting": waited / (time.perf_counter() - began)}

        turn()  # traces the step
        serve(turn)


def _drop_from_page_cache(folder: Path) -> None:
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(arguments: argparse.Namespace, name: str) -> int:
    """Measures and reports; the arguments are those of `parser`. Returns the exit code."""
    options = ["--size", str(arguments.size), "--batch", str(arguments.batch), *network_option(arguments.network)]
    rounds = compare("benchmarks.input", [name], options, arguments.rounds)
    rows = summarise(rounds, "share_of_waiting", name)
    command = f"python -m benchmarks.input {' '.join(options)}"
    report(
        f"Waiting for data, {arguments.size} px, batch {arguments.batch}",
        command,
        rows,
        rounds=rounds,
        first=name,
        path=arguments.json,
    )
    return 0 if rounds else 1


def main() -> int:
    """Runs the benchmark, or with `--contender` the process that measures; returns the exit code."""
    made = parser("benchmarks.input", (__doc__ or "").splitlines()[0], [], 224, 32)
    add_network(made)
    arguments = made.parse_args()
    if arguments.contender:
        waiting(arguments.size, arguments.batch, arguments.network)
        return 0
    return run(arguments, "ours")


if __name__ == "__main__":
    sys.exit(main())
