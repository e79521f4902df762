"""Memory of a device that is used up: one sentence in place of TensorFlow's error."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from resnet.core.errors import UserError

_DEVICE = re.compile(r"device:([CG]PU:\d+)")
_FULL_DISK = "No space left on device"  # TensorFlow raises the same error for it


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
    except tf.errors.ResourceExhaustedError as error:
        if _FULL_DISK in error.message:
            raise
        device = _DEVICE.search(error.message)
        where = f" on {device[1]}" if device else ""
        raise UserError(f"{what} needs more memory than is free{where}: {advice}.") from error
