"""The cost of checkpoints: the same training steps with and without a checkpoint being written, in turns.

    python -m benchmarks.checkpoint_cost --size 224 --batch 32
    python -m benchmarks.checkpoint_cost --size 32 --batch 32

`percent_of_time` is relative to the time between two checkpoints of the `train` stage. With TRAIN_RESNET_CHECKPOINT_REMOTE in
the environment, the checkpoint is copied there too, and the copy is part of the cost.
"""

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import parser, report
from benchmarks.contenders import compare, serve, summarise
from benchmarks.training import add_network, make_trainer, network_option


def writing(size: int, batch: int, seconds: float, network: str) -> None:
    """Runs the process that measures: the time of some steps with a checkpoint, minus the time of as many without.

    Args:
        size: height and width of the images in pixels.
        batch: images in a step.
        seconds: the least time that the steps take.
        network: one of `NETWORKS`.
    """
    trainer = make_trainer("ours", size, network)
    import numpy as np

    from resnet.training.checkpoint_files import CheckpointWriter
    from tasks.training.moving import shared
    from tasks.training.resume import checkpoint_seconds
    from tasks.training.runs import Run

    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    labels = np.zeros(batch, np.uint16)
    draws = trainer.augmentation.draw(batch, 0, 1)
    trainer.state.best = trainer.model.get_weights()  # a checkpoint contains them from the first epoch on

    def timed(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            float(trainer.train_step(images, labels, draws)[0])
        return time.perf_counter() - began

    timed(2)
    steps = max(2, math.ceil(seconds / (timed(3) / 3)))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:

        def turn() -> dict[str, float]:
            without = timed(steps)
            began = time.perf_counter()
            with shared(Run(Path(folder), {})) as elsewhere:
                then = [elsewhere.copy] if elsewhere else []
                with CheckpointWriter(Path(folder), trainer.state, math.inf, *then) as writer:
                    writer.begin()
                    timed(steps)
            cost = time.perf_counter() - began - without
            return {"seconds_a_checkpoint": cost, "percent_of_time": 100 * cost / checkpoint_seconds()}

        turn()
        serve(turn)


def run(arguments: argparse.Namespace) -> int:
    """Measures and reports; the arguments are those of `parser`. Returns the exit code."""
    options = ["--size", str(arguments.size), "--batch", str(arguments.batch), "--seconds", str(arguments.seconds)]
    options += network_option(arguments.network)
    rounds = compare("benchmarks.checkpoint_cost", ["ours"], options, arguments.rounds)
    rows = [row for figure in ("seconds_a_checkpoint", "percent_of_time") for row in summarise(rounds, figure, "ours")]
    title = f"Checkpoints, {arguments.size} px, batch {arguments.batch}"
    command = f"python -m benchmarks.checkpoint_cost {' '.join(options)}"
    report(title, command, rows, rounds=rounds, first="ours", path=arguments.json)
    return 0 if rounds else 1


def main() -> int:
    """Runs the benchmark, or with `--contender` the process that measures; returns the exit code."""
    made = parser("benchmarks.checkpoint_cost", (__doc__ or "").splitlines()[0], [], 224, 32)
    made.set_defaults(seconds=12.0)
    add_network(made)
    arguments = made.parse_args()
    if arguments.contender:
        writing(arguments.size, arguments.batch, arguments.seconds, arguments.network)
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
