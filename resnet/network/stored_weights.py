"""The weights of a model file with batch normalisation folded into the convolutions, as NumPy arrays.

It needs neither Keras nor TensorFlow, whose imports take longer than everything else in the prediction of one photograph.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.network.archive import ModelFile, RefusedModelError
from resnet.network.plan import plan

Array = npt.NDArray[np.float32]
Weights = tuple[Array, Array]
HEAD = "predictions"  # the name of the dense layer
_VARIANCE = 3  # its number among the arrays of a batch normalisation


def fold_normalisation(kernel: Array, bias: Array | None, statistics: list[Array], epsilon: float) -> Weights:
    """Kernel and bias of the convolution that does the same as a convolution and the batch normalisation after it.

    With the scale s = gamma / sqrt(variance + epsilon), these are kernel * s and beta + (bias - mean) * s (Jacob et al.,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2017, section 3.2).

    Args:
        kernel: (height, width, inputs, filters) float32.
        bias: (filters,) float32, or None.
        statistics: gamma, beta, mean and variance, (filters,) float32 each.
        epsilon: of the batch normalisation.
    """
    # In float64, so that values are rounded only once.
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in statistics)
    scale = gamma / np.sqrt(variance + epsilon)
    old = 0.0 if bias is None else np.asarray(bias, np.float64)
    return (kernel * scale).astype(np.float32), (beta + (old - mean) * scale).astype(np.float32)


def check_numbers(path: Path, name: str, values: Array, epsilon: float | None = None) -> None:
    """Refuses weights that no training writes, and that would make predictions of NaN.

    Args:
        path: of the model file, for messages.
        name: of the array in it.
        values: the array.
        epsilon: of the batch normalisation, if the array is its moving variance. A variance a little below zero, by rounding,
            is harmless.

    Raises:
        RefusedModelError: a number is not finite, or a variance and epsilon have no square root.
    """
    if not np.isfinite(values).all():
        raise RefusedModelError(path, f"{name} in its weights has numbers that are not finite")
    if epsilon is not None and values.size and values.min() <= -epsilon:
        raise RefusedModelError(path, f"{name} in its weights has a negative variance")


def stored_weights(path: Path, file: ModelFile) -> dict[str, Weights]:
    """Kernel and bias of the head and of each convolution, by the names of the layers: float32, normalisation folded in.

    Args:
        path: of the model file, for messages.
        file: its content, checked by `resnet.network.archive.read_model`.

    Raises:
        RefusedModelError: the file has not exactly the weights of its network, or they are as `check_numbers` refuses them.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(file.weights), "r") as stored:
            weights, size = _folded(path, stored["layers"], file.config)
    except (KeyError, OSError, ValueError, AttributeError) as error:
        raise RefusedModelError(path, error, damaged=True) from error
    if size != file.weight_bytes:
        raise RefusedModelError(path, f"its weights have {file.weight_bytes:,} bytes where its network has {size:,}")
    return weights


def _folded(path: Path, layers: Any, config: dict[str, Any]) -> tuple[dict[str, Weights], int]:
    """The weights, and the bytes of the arrays that were read.

    Keras's HDF5 files number the layers of each kind: `conv2d`, `conv2d_1`, ...
    """
    network, weights, size = plan(config), {}, 0
    biased = config["variant"] == "v1"

    def read(layer: str, number: int, shape: tuple[int, ...]) -> Array:
        nonlocal size
        stored = layers[f"{layer}/vars/{number}"]
        if stored.shape != shape:  # before memory is allocated
            raise ValueError(f"{layer} has an array of {stored.shape} instead of {shape}")
        values: Array = stored[...]
        is_variance = layer.startswith("batch_normalization") and number == _VARIANCE
        check_numbers(path, f"{layer}/vars/{number}", values, network.epsilon if is_variance else None)
        size += values.nbytes
        return values

    for number, one in enumerate(network.convolutions()):
        suffix, filters = f"_{number}" if number else "", (one.filters,)
        kernel = read(f"conv2d{suffix}", 0, (one.side, one.side, one.inputs, one.filters))
        bias = read(f"conv2d{suffix}", 1, filters) if biased else None
        statistics = [read(f"batch_normalization{suffix}", each, filters) for each in range(4)]
        weights[one.name] = fold_normalisation(kernel, bias, statistics, network.epsilon)
    classes = config["classes"]
    weights[HEAD] = read("dense", 0, (network.features, classes)), read("dense", 1, (classes,))
    return weights, size
