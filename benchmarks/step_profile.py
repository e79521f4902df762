"""Profiles a step: milliseconds by kind of operation, from the framework's own profiler.

    python -m benchmarks.step_profile {training,inference,openvino} [--size 224] [--batch 32] [--steps 5] [--json FILE]

`training` and `inference` are the steps of the `train` and `evaluate` stages, both in TensorFlow; `openvino` is for comparison.
An operation uses all cores. Two operations may run concurrently, so the times can add up to more than the step.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.command import write
from benchmarks.inference import compiled_by_openvino, make_images
from benchmarks.inference import ours as our_inference
from benchmarks.training import NETWORKS, add_network, network_option
from benchmarks.training import ours as our_training

WARM_UP = 3  # steps
LEAST = 0.005  # an operation with a smaller share of the step is counted under "the rest"

Events = Iterable[tuple[str, float]]  # kind of operation, milliseconds


def of_training(size: int, batch: int, steps: int, network: str) -> tuple[float, Events]:
    """Returns the milliseconds of a training step, and the operations of all steps."""
    return _profiled(our_training("ours", size, batch, network), steps)


def of_inference(size: int, batch: int, steps: int, network: str) -> tuple[float, Events]:
    """Returns the milliseconds of an inference step, and the operations of all steps."""
    return _profiled(our_inference("ours-tensorflow", size, make_images(size, batch), NETWORKS[network]), steps)


def of_openvino(size: int, batch: int, steps: int, network: str) -> tuple[float, Events]:
    """Returns the milliseconds of a step of OpenVINO, and the operations of all steps by OpenVINO's own counters."""
    if network != "resnet50":
        sys.exit(f"the network for OpenVINO is a resnet50, but --network is {network}: leave it out.")
    model, given = compiled_by_openvino("openvino-bf16", make_images(size, batch), {"PERF_COUNT": True})
    request, times, events = model.create_infer_request(), [], []
    for step in range(-WARM_UP, steps):
        began = time.perf_counter()
        request.infer({0: given})
        if step >= 0:
            times.append(time.perf_counter() - began)
            events += [(one.node_type, one.real_time.total_seconds() * 1e3) for one in request.profiling_info]
    return statistics.median(times) * 1e3, [event for event in events if event[1]]


KINDS: dict[str, Callable[[int, int, int, str], tuple[float, Events]]] = {
    "training": of_training,
    "inference": of_inference,
    "openvino": of_openvino,
}


def _profiled(step: Callable[[], object], steps: int) -> tuple[float, Events]:
    """Returns the median time of steps without the profiler, and the operations of as many steps with it."""
    import tensorflow as tf

    times = []
    for number in range(-WARM_UP, steps):
        began = time.perf_counter()
        step()
        if number >= 0:
            times.append(time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            step()
        tf.profiler.experimental.stop()
        events = list(_events(next(Path(folder).rglob("*.xplane.pb"))))
    return statistics.median(times) * 1e3, events


def _events(path: Path) -> Iterator[tuple[str, float]]:
    """Yields the operations that TensorFlow's executor ran.

    Their events are named "node:kind of operation"; events of the runtime itself, "Class::method", are skipped.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                node, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and not node.endswith(":") and kind.isidentifier():
                    yield kind.removeprefix("_Mkl").removeprefix("Native").removeprefix("_"), event.duration_ps / 1e9


def table(title: str, command: str, step: float, events: Events, steps: int) -> tuple[str, list[dict[str, Any]]]:
    """Sums the operations by kind; returns them as Markdown and as rows, the longest first.

    Args:
        title: of the table.
        command: the command that makes it.
        step: the milliseconds of a step.
        events: the operations of all steps.
        steps: the number of steps.
    """
    found: dict[str, list[float]] = {}
    for kind, milliseconds in events:
        found.setdefault(kind, []).append(milliseconds / steps)
    totals = {kind: (len(times) / steps, sum(times)) for kind, times in found.items()}
    totals = dict(sorted(totals.items(), key=lambda item: -item[1][1]))
    short = [total for total in totals.values() if total[1] < LEAST * step]
    shown = {kind: total for kind, total in totals.items() if total[1] >= LEAST * step}
    shown["the rest"] = sum(calls for calls, _ in short), sum(took for _, took in short)
    lines = [f"## {title}", "", f"    {command}", "", f"A step takes {step:.0f} ms.", ""]
    lines += ["| operation | calls | ms | share of the step |", "|---|---|---|---|"]
    lines += [f"| {kind} | {calls:.0f} | {took:.1f} | {took / step:.1%} |" for kind, (calls, took) in shown.items()]
    return "\n".join(lines) + "\n", [{"operation": kind, "calls": calls, "ms": took} for kind, (calls, took) in totals.items()]


def main() -> int:
    """Profiles one kind of step and reports it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_profile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--size", type=int, default=224, help="height and width of images in pixels")
    parser.add_argument("--batch", type=int, default=32, help="images in a step")
    parser.add_argument("--steps", type=int, default=5, help="number of steps to profile")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    add_network(parser)
    arguments = parser.parse_args()
    step, events = KINDS[arguments.kind](arguments.size, arguments.batch, arguments.steps, arguments.network)
    title = f"Profile of {arguments.kind}, {arguments.size} px, batch {arguments.batch}"
    options = ["--size", str(arguments.size), "--batch", str(arguments.batch), *network_option(arguments.network)]
    command = f"python -m benchmarks.step_profile {arguments.kind} {' '.join(options)}"
    text, rows = table(title, command, step, events, arguments.steps)
    write(text, rows, {"step": [{"ms": step}]}, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
