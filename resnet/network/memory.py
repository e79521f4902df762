"""Memory of a device that is used up: one sentence in place of TensorFlow's error."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from resnet.core.errors import UserError

_DEVICE = re.compile(r"device:([CG]PU:\d+)")
_FULL_DISK = "No space left on device"  # TensorFlow raises the same error for it
# TensorFlow's eager copy of a tensor to a GPU: CopyCPUTensorToGPU in core/common_runtime/gpu/gpu_util.cc, tensorflow#7025.
_FULL_GPU = "Dst tensor is not initialized"


def is_used_up(error: Exception) -> bool:
    """Whether an error of TensorFlow says that a device has no memory left. TensorFlow must have been started."""
    import tensorflow as tf

    if isinstance(error, tf.errors.ResourceExhaustedError):
        return _FULL_DISK not in error.message
    return isinstance(error, tf.errors.InternalError) and _FULL_GPU in error.message


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Turns the error of the block, because an operation got no memory, into a sentence. TensorFlow must have been started.

    Args:
        what: is computed in the block, as the subject of the sentence, in the singular.
        advice: what to do, as the end of the sentence.

    Raises:
        UserError: there was too little memory.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        if not is_used_up(error):
            raise
        devices = _DEVICE.findall(error.message)
        where = f" on {devices[-1 if _FULL_GPU in error.message else 0]}" if devices else ""  # a copy is from one to another
        raise UserError(f"{what} needs more memory than is free{where}: {advice}.") from error
