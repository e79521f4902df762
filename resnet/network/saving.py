"""Saving and loading networks as `.keras` files: a file is complete or absent, and equal networks have equal bytes."""

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras

from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.network.archive import ModelFile, RefusedModelError, read_model, seal
from resnet.network.layers import BatchNormalization, Conv2D
from resnet.network.model import ResNet
from resnet.network.precision import PRECISIONS, dtype_policy
from resnet.network.stored_weights import check_numbers

# Keras's HDF5 files number the layers of each kind: `conv2d`, `conv2d_1`, ...
_KINDS = {Conv2D: "conv2d", BatchNormalization: "batch_normalization", keras.layers.Dense: "dense"}


def save_model(model: ResNet, path: Path) -> None:
    """Writes a network with its weights; `resnet.network.archive.seal` says what is changed in Keras's own file.

    Raises:
        UserError: the disk is full.
    """
    with replacing(path, least=4 * model.count_params()) as partial:
        model.save(partial)
        seal(partial, model.known_score)


def load_model(
    path: Path,
    classes: list[str],
    image_shape: tuple[int, int, int],
    precision: str = "float32",
    *,
    multi_label: bool | None = None,
) -> ResNet:
    """Reads a network that `save_model` wrote, and checks that it fits the data.

    The file does not record the precision of training, and can be read in any precision; the weights are always float32.

    Args:
        path: of the `.keras` file.
        classes: the class names of the data, in order.
        image_shape: (height, width, channels) of the images.
        precision: to compute in, one of `PRECISIONS`.
        multi_label: whether the images of the data have several labels; None for either.

    Raises:
        ValueError: an unknown precision.
        UserError: the file is missing or damaged, holds something other than a `ResNet` as `save_model` writes it, or has other
            classes, another image shape, or one label where the data have several.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}. Received: {precision!r}.")
    file = read_model(path)
    config = file.config
    names, shape = config["class_names"], tuple(config["input_shape"])
    if names != classes:
        raise UserError(
            f"{path} knows {config['classes']} classes ({_some(names)}), but the data have {len(classes)} "
            f"({_some(classes)}); run `dvc repro`, which makes a model for these data."
        )
    if shape != image_shape:
        raise UserError(
            f"{path} takes images of {shape}, but the data's are {image_shape}; run `dvc repro`, which makes a "
            "model for these data."
        )
    if multi_label is not None and multi_label != ("multi_label" in config):
        one, several = "one label to each image", "any number of labels to an image"
        gives, wanted = (one, several) if multi_label else (several, one)
        raise UserError(
            f"{path} gives {gives}, but the data give {wanted}; run `dvc repro`, which makes a model for these data."
        )
    return _build(path, file, precision)


def load_any_model(path: Path) -> ResNet:
    """Reads a network that `save_model` wrote, whatever its classes and image shape, to compute in float32.

    Raises:
        UserError: the file is missing.
        RefusedModelError: the file is damaged, or holds something other than a `ResNet` as `save_model` writes it.
    """
    return _build(path, read_model(path), "float32")


def count_weights(config: dict[str, Any]) -> int:
    """The number of weights of a `ResNet`, trained or not, from its constructor's arguments; allocates none of them.

    Raises:
        ValueError: the constructor refuses the arguments.
    """

    def count() -> int:
        # In this scope variables have a shape and no values.
        with keras.StatelessScope(initialize_variables=False):
            model = ResNet(**config, draw_kernels=False)
        return int(model.count_params())

    # Keras keeps a list of such variables for each thread, and creates them all when that thread leaves another scope. The list
    # of this thread is discarded with the thread.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(count).result()


def _build(path: Path, file: ModelFile, precision: str) -> ResNet:
    """Builds the network of a checked file; refuses one that has not exactly the weights of its network, or bad numbers."""
    try:
        # Before memory is allocated: a few bytes of settings can ask for terabytes of weights.
        needed = 4 * count_weights(file.config)
        if needed != file.weight_bytes:
            raise RefusedModelError(path, f"its weights have {file.weight_bytes:,} bytes where its network has {needed:,}")
        # All variables are created at the end of the scope: 0.28 s of processor time for ResNet-50. One by one took 0.42 s.
        with dtype_policy(precision), keras.StatelessScope():
            model = ResNet(**file.config, draw_kernels=False)
        _take_weights(model, path, file.weights)
        if file.known_score is not None:
            model.refuse(file.known_score, file.config["refuses"])
    except (KeyError, OSError, EOFError, ValueError, TypeError, RecursionError) as error:
        raise RefusedModelError(path, error, damaged=True) from error
    return model


def _take_weights(model: ResNet, path: Path, content: bytes) -> None:
    """Gives each layer its weights from an HDF5 file that Keras wrote.

    `keras.saving.load_model` would read and unpack the file again, and draw random weights only to replace them.

    Raises:
        KeyError: a layer is missing.
        ValueError: a layer has weights of another number or shape.
        RefusedModelError: the numbers are as `check_numbers` refuses them.
    """
    import h5py

    count: Counter[str] = Counter()
    with h5py.File(io.BytesIO(content), "r") as file:
        for layer in model.layers:
            if layer.weights:
                kind = _KINDS[type(layer)]
                name = f"{kind}_{count[kind]}" if count[kind] else kind
                count[kind] += 1
                # As arrays, because each access to the file reads and copies the values again.
                arrays = {number: stored[...] for number, stored in file[f"layers/{name}/vars"].items()}
                for number, values in arrays.items():
                    is_variance = kind == "batch_normalization" and number == "3"
                    check_numbers(path, f"{name}/vars/{number}", values, layer.epsilon if is_variance else None)
                layer.load_own_variables(arrays)


def _some(names: list[str] | None) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "without names"
