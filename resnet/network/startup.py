"""The start of TensorFlow, the same for every command. The import takes seconds, so commands start it as late as possible."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from resnet.network.cuda import open_cusolver


def start_tensorflow(*, deterministic: bool = True) -> list[str]:
    """Imports TensorFlow and sets what must be set before its first operation.

    Args:
        deterministic: the same seed gives the same bytes. Only `benchmarks.gpu` does without, to measure what it costs.

    Returns:
        The names of the GPUs.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    open_cusolver()
    with quiet_import(), _hidden("sklearn", "pandas", "matplotlib"), _uncollected():
        import keras  # noqa: F401
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if deterministic:
        # The same seed must give the same bytes. Otherwise some GPU kernels sum in the order in which threads finish.
        tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        # Allocate memory when it is needed rather than all at once, so that other processes can use the GPU.
        tf.config.experimental.set_memory_growth(gpu, True)
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Makes packages look as if they were not installed within the block.

    Keras imports scikit-learn, pandas and matplotlib if they are installed. That takes 1.8 s of processor time, and no stage
    needs it.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None marks a module as missing
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Excludes the objects that the block creates from garbage collection, permanently.

    An import creates hundreds of thousands of objects that all stay alive. Checking them repeatedly took 0.4 of 2.7 s of
    processor time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def quiet_import() -> Iterator[None]:
    """For a block that imports TensorFlow: discards what native code writes to standard error, unless the block fails.

    TensorFlow's libraries print several lines about oneDNN and CUDA before their log level takes effect. The log level is that
    of errors afterwards, unless `TF_CPP_MIN_LOG_LEVEL` is set.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    # In memory, so that TensorFlow starts when the disk is full.
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
