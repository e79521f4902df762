"""The rows of `benchmarks.gpu`, in the order of their worth: a machine that is lent for minutes does the first ones."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

PEER = "torch-bfloat16-compiled"  # stands in a row for the peer that the command line names
MATRIX_BATCH = 128  # five contenders hold the memory of a card together


class Row(NamedTuple):
    """A comparison.

    Attributes:
        name: on the command line and in the file of results.
        title: on the page.
        kind: "training" or "inference": images per second; "repeats": equal bytes; "pipeline": seconds of `dvc repro`.
        contenders: what takes turns, see `benchmarks.gpu_contenders`.
        size: height and width of images in pixels.
        batch: images in a step.
        note: what to know about the figures.
    """

    name: str
    title: str
    kind: str
    contenders: tuple[str, ...]
    size: int = 224
    batch: int = 256
    note: str = ""


def _training(size: int, batch: int) -> Row:
    return Row(f"training-{size}-{batch}", "Training", "training", ("ours", "ours-xla", PEER), size, batch)


def _kernels() -> Iterator[Row]:
    """XLA and determinism, on and off, for each precision and form of the 1x1 convolutions."""
    for form, precision in product(("convolution", "product"), ("bfloat16", "float16")):
        names = (f"ours-{precision}-{by}-{order}-{form}" for by, order in product(("xla", "plain"), ("deterministic", "free")))
        title = f"Kernels: {precision}, 1x1 as {form}"
        yield Row(f"kernels-{precision}-{form}", title, "training", (*names, PEER), batch=MATRIX_BATCH)


def _fused() -> Row:
    names = (
        f"ours-float16-plain-{order}-convolution{end}" for order, end in product(("deterministic", "free"), ("", "-fused"))
    )
    note = "`fused` asks for TensorFlow's fusion of normalisation and ReLU, which exists for float16 alone."
    return Row(
        "fused-float16", "Kernels: normalisation fused with ReLU", "training", tuple(names), batch=MATRIX_BATCH, note=note
    )


WAITING = Row(
    "waiting",
    "Waiting for input",
    "training",
    ("ours", "ours-fit"),
    note="`ours-fit` is the training loop over images on disk, `ours` the step of a batch that is held on the GPU.",
)
REPEATS = Row(
    "repeats", "The same bytes", "repeats", ("ours",), batch=64, note="Hashes of weights, optimizer and metrics after 50 steps."
)
DIGITS = Row("digits", "The default run on the digits", "pipeline", ("dvc repro",), 32, 64)
DEVICES = Row(
    "devices",
    "One device, and one divided into two",
    "training",
    ("ours-fit", "ours-fit-two"),
    batch=MATRIX_BATCH,
    note="Two logical devices on one card show the overhead of sharing a step, and nothing about a second card.",
)
KEPT = Row(
    "kept",
    "Images that stay on the GPU",
    "training",
    ("ours-fit", "ours-fit-copied"),
    note="`copied` copies the images of a step to the GPU while the one before runs.",
)
CALLS = Row(
    "calls",
    "Several steps in a call",
    "training",
    ("ours-fit", "ours-fit-single"),
    32,
    64,
    note="`ours-fit` does eight steps in a call, `single` one.",
)
INFERENCE = Row(
    "inference",
    "Inference",
    "inference",
    (
        "ours-bfloat16",
        "ours-float16",
        "ours-bfloat16-held",
        "ours-float16-held-xla",
        PEER,
        "torch-float16-autotuned",
    ),
    note="`ours` takes the images from main memory, as `predict` does; those of `held` and of PyTorch are on the GPU already.",
)

PEERS = Row(
    "peers-224-128",
    "Which settings of PyTorch are the fastest",
    "training",
    (PEER, "torch-bfloat16-autotuned", "torch-bfloat16", "torch-float16-compiled"),
    batch=MATRIX_BATCH,
)
_BFLOAT16, *_OTHER_KERNELS = _kernels()

ROWS: tuple[Row, ...] = (
    _training(224, 256),
    WAITING,
    _BFLOAT16,
    DIGITS,
    CALLS,
    KEPT,
    INFERENCE,
    _training(224, 64),
    _training(224, 512),
    REPEATS,
    *_OTHER_KERNELS,
    REPEATS._replace(name="repeats-xla", title="The same bytes, with XLA", contenders=("ours-xla",)),
    PEERS,
    _training(32, 64),
    DEVICES,
    _training(128, 256),
    _training(32, 256),
    _training(224, 128),
    _fused(),
)
