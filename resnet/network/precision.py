"""The precision that a network computes in: the fastest on this machine, and how to set it in Keras."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # and Keras's dtype policies


def choose_precision(wanted: str, option: str = "train.precision") -> str:
    """The precision to compute in: the given one, or for "auto" the fastest that this machine's hardware supports.

    Prints one line with the precision and the reason. TensorFlow must have been started.

    Args:
        wanted: "auto" or one of `PRECISIONS`.
        option: where it was given, for the reason.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    precision, reason = fastest_precision(capabilities, cpu_flags())
    if wanted != "auto":
        precision, reason = wanted, f"as {option} says"
    print(f"precision: {precision}, {reason}")
    return precision


def fastest_precision(capabilities: list[tuple[int, int]], cpu_flags: set[str]) -> tuple[str, str]:
    """The fastest precision and the reason.

    Args:
        capabilities: compute capability (major, minor) of each GPU.
        cpu_flags: of the processor, as in `/proc/cpuinfo`; they decide if there is no GPU.
    """
    if capabilities:
        least = min(capabilities)
        reason = f"the GPU has compute capability {least[0]}.{least[1]}"
        # Tensor cores support float16 since 7.0 and bfloat16 since 8.0: NVIDIA, CUDA C++ Programming Guide.
        return ("bfloat16" if least >= (8, 0) else "float16" if least >= (7, 0) else "float32"), reason
    for flag in ("amx_bf16", "avx512_bf16"):
        if flag in cpu_flags:
            return "bfloat16", f"the processor has {flag.replace('_', '-').upper()}"
    return "float32", "the processor has neither AMX-BF16 nor AVX512-BF16"


def cpu_flags() -> set[str]:
    """What the processor can do, by the names of `/proc/cpuinfo`; empty where these are not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


@contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """Within the block, new layers compute in one of `PRECISIONS`; their weights are float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
