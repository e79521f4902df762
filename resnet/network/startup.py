"""Starts TensorFlow the same way for every command that needs it. The import takes seconds, so callers do it late."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def start_tensorflow() -> list[str]:
    """Imports TensorFlow and settles what has to be settled before its first operation.

    Returns:
        The names of the GPUs that it found.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _held_back_stderr(), _out_of_sight("sklearn", "pandas", "matplotlib"), _nothing_collected():
        import keras  # noqa: F401
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    # The same seed must give the same bytes; on GPUs some kernels add up in the order in which threads finish otherwise.
    tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        # Take memory as it is needed, not all of it, so that others can use the device too.
        tf.config.experimental.set_memory_growth(gpu, True)
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


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
