"""Which share of its time training waits for images that lie on a disk.

The arrays are written first and then driven out of the system's cache before every turn.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import parser, report
from benchmarks.contenders import compare, serve, summarise
from benchmarks.training import make_trainer

STEPS = 8


def waiting(size: int, batch: int) -> None:
    """Serves shares of waiting, each over `STEPS` steps of training with batches from a disk."""
    trainer = make_trainer("ours", size)
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
            _drive_out(Path(folder) / "split")
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

        turn()  # makes the step
        serve(turn)


def _drive_out(folder: Path) -> None:
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(arguments: argparse.Namespace, name: str) -> int:
    """Measures at one size; see `parser`."""
    options = ["--size", str(arguments.size), "--batch", str(arguments.batch)]
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
    """Parses the command line, then measures, or serves as the process that does."""
    arguments = parser("benchmarks.input", (__doc__ or "").splitlines()[0], [], 224, 32).parse_args()
    if arguments.contender:
        waiting(arguments.size, arguments.batch)
        return 0
    return run(arguments, "ours")


if __name__ == "__main__":
    sys.exit(main())
