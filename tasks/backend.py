"""Starts TensorFlow the same way for every stage that needs it. It takes seconds, so stages do it in their function."""

import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.errors import UserError
from tasks.ending import at_once

if TYPE_CHECKING:
    import tensorflow as tf


def start_tensorflow() -> list[str]:
    """Imports TensorFlow and settles what has to be settled before its first operation.

    Returns:
        The names of the GPUs that it found.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with at_once(), _held_back_stderr(), _out_of_sight("sklearn", "pandas", "matplotlib"), _nothing_collected():
        import keras  # noqa: F401
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    # The same seed must give the same bytes; on GPUs some kernels add up in the order in which threads finish otherwise.
    tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        # Take memory as it is needed, not all of it, so that others can use the device too.
        tf.config.experimental.set_memory_growth(gpu, True)
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def share_among(devices: int) -> "tf.distribute.Strategy":
    """How so many devices share the work: GPUs, or processors where there is none. One works without any sharing.

    TensorFlow must have been started.

    Raises:
        UserError: there are fewer.
    """
    import tensorflow as tf

    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < devices:
        raise UserError(
            f"train.devices is {devices}, but TensorFlow finds {len(found)} {kind}{'s' if len(found) > 1 else ''}: set it to "
            f"{len(found)}, or see `python -m tasks.doctor` for why there are not more."
        )
    return tf.distribute.MirroredStrategy(found[:devices])


def use_huge_pages() -> None:
    """Starts the program anew, in the same process, with an allocator that asks for pages of 2 MB instead of 4 kB.

    A training step allocates and frees gigabytes, and the system hands out fresh pages each time. At 224 pixels and batch 32 in
    bfloat16 the step took 0.93 of the processor time with huge pages, and a sixth of the page faults. glibc (2.35 and later)
    reads the setting when a process starts, and at no other time. Where the variable is set already, nothing is done.
    """
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ or not pages.exists():
        return
    if "[madvise]" in pages.read_text("utf-8"):
        sys.stdout.flush()
        tunables = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], tunables)


def choose_precision(wanted: str) -> str:
    """The precision to compute in: what is wanted, or with "auto" the fastest that this machine computes in hardware.

    Says which and why in a line. TensorFlow must have been started.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    precision, reason = fastest_precision(capabilities, _cpu_flags())
    if wanted != "auto":
        precision, reason = wanted, "as train.precision says"
    print(f"precision: {precision}, {reason}")
    return precision


def fastest_precision(capabilities: list[tuple[int, int]], cpu_flags: set[str]) -> tuple[str, str]:
    """Precision and reason, for GPUs of these compute capabilities, or without one for a processor with these flags."""
    if capabilities:
        least = min(capabilities)
        reason = f"the GPU is of compute capability {least[0]}.{least[1]}"
        # Tensor cores take float16 from 7.0 on and bfloat16 from 8.0 on: NVIDIA, CUDA C++ Programming Guide.
        return ("bfloat16" if least >= (8, 0) else "float16" if least >= (7, 0) else "float32"), reason
    for flag in ("amx_bf16", "avx512_bf16"):
        if flag in cpu_flags:
            return "bfloat16", f"the processor has {flag.replace('_', '-').upper()}"
    return "float32", "the processor has neither AMX-BF16 nor AVX512-BF16"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


@contextmanager
def _out_of_sight(*packages: str) -> Iterator[None]:
    """Lets packages look as if they were not installed while the block lasts.

    Keras imports scikit-learn, pandas and matplotlib where they are, to serve their users: 1.8 s of processor time that no
    stage makes use of.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python marks a module that is not there
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keeps the garbage collector off what the block makes, for good.

    An import makes hundreds of thousands of objects that all stay. To look through them again and again took 0.4 of 2.7 s of
    processor time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Drops what native code writes to standard error, unless the block fails.

    TensorFlow's libraries print several lines about oneDNN and CUDA before their own log levels are in force.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    # In memory, so that a full disk does not keep TensorFlow from starting.
    with os.fdopen(os.memfd_create("stderr"), "w+b") as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
