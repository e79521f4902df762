"""Which kernels the layers and the training step use on processors, and which on GPUs. Other modules ask here."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class DeviceKernels:
    """Choices that give the same values within rounding.

    Attributes:
        rows_as_images: batch normalisation gets each row of pixels as an image, which oneDNN divides better among its threads.
        products: 1x1 convolutions, and convolutions with few output pixels, are matrix products.
        relu_on_bits: the ReLU of bfloat16 is computed on the bits.
        fused: the training step uses the operations of `resnet.native`, if they were compiled.
        xla: the training step is compiled by XLA. The gradient of max-pooling is then made of comparisons, since XLA's own
            has no deterministic form.
        steps_ahead: steps that are started before the figures of a step are read. A GPU would wait for the processor otherwise.
        batches_on: the device to which the next batch is copied, as uint8, while a step runs. None: it is used where it is.
        gathers_bytes: uint8 is gathered as it is. TensorFlow 2.21 has no kernel for that on GPUs, and would use the processor.
        steps_per_call: training steps that one call of a compiled function does, one after another, where one host trains.
        kept_bytes: the most bytes of images that stay on the device, see `resnet.training.kept`; 0 keeps none.
    """

    rows_as_images: bool
    products: bool
    relu_on_bits: bool
    fused: bool
    xla: bool = False
    steps_ahead: int = 0
    batches_on: str | None = None
    gathers_bytes: bool = True
    steps_per_call: int = 1
    kept_bytes: float = 0.0


PROCESSOR = DeviceKernels(rows_as_images=True, products=True, relu_on_bits=True, fused=True)
# TensorFlow's own kernels. Nothing has been measured on a GPU yet; `python -m benchmarks.gpu` compares the choices.
GPU = DeviceKernels(
    rows_as_images=False,
    products=False,
    relu_on_bits=False,
    fused=False,
    steps_ahead=4,
    batches_on="GPU:0",
    gathers_bytes=False,
    steps_per_call=8,
    kept_bytes=math.inf,
)

_chosen: ContextVar[DeviceKernels | None] = ContextVar("chosen", default=None)


def kernels() -> DeviceKernels:
    """The kernels for this machine's device: for GPUs if TensorFlow finds one."""
    return _chosen.get() or (GPU if tf.config.list_physical_devices("GPU") else PROCESSOR)


@contextmanager
def using(choice: DeviceKernels) -> Iterator[None]:
    """Within the block, layers are called and steps are compiled with these kernels: for tests and benchmarks."""
    token = _chosen.set(choice)
    try:
        yield
    finally:
        _chosen.reset(token)
