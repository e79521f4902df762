"""The sentence for memory that is used up."""

import re

import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.network.memory import enough_memory

# As TensorFlow 2.21 words it.
OOM = (
    "Graph execution error:\n\nDetected at node ... OOM when allocating tensor with shape[256,64,112,112] and type half on "
    "/job:localhost/replica:0/task:0/device:GPU:1 by allocator GPU_1_bfc\n\t [[{{node conv1}}]]\nHint: ..."
)


def exhausted(message: str) -> None:
    with enough_memory("a step of 256 images", "lower train.batch_size"):
        raise tf.errors.ResourceExhaustedError(None, None, message)


def test_memory_that_is_used_up_is_one_sentence_with_the_device() -> None:
    expected = "a step of 256 images needs more memory than is free on GPU:1: lower train.batch_size."
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        exhausted(OOM)
    with pytest.raises(UserError, match="needs more memory than is free: lower"):  # XLA names no device
        exhausted("Out of memory while trying to allocate 8589934592 bytes.")


def test_a_copy_for_which_a_gpu_has_no_memory_counts() -> None:
    message = (
        "Failed copying input tensor from /job:localhost/replica:0/task:0/device:CPU:0 to "
        "/job:localhost/replica:0/task:0/device:GPU:0 in order to run Identity: Dst tensor is not initialized. [Op:Identity]"
    )
    with pytest.raises(UserError, match="needs more memory than is free on GPU:0: lower"), enough_memory("a step", "lower it"):
        raise tf.errors.InternalError(None, None, message)


def test_a_full_disk_and_other_errors_stay_as_they_are() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError):
        exhausted("live/events.out; No space left on device")
    with pytest.raises(tf.errors.InternalError), enough_memory("a step", "lower it"):
        raise tf.errors.InternalError(None, None, "device:GPU:0 is lost")


def test_what_fits_is_left_alone() -> None:
    with enough_memory("a step", "lower it"):
        assert float(tf.reduce_sum(tf.ones(3))) == 3.0
