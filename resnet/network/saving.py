"""Models as `.keras` files: whole or absent, and equal in every byte when the models are equal."""

import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import keras

from resnet.core.errors import UserError, damaged_input
from resnet.core.files import replacing
from resnet.network.archive import MODULE, read_model, sealed
from resnet.network.layers import BatchNormalization, Conv2D
from resnet.network.model import ResNet
from resnet.network.precision import PRECISIONS, dtype_policy

# What Keras calls the layers with weights in its HDF5, each with its number among those of its kind: `conv2d_7`.
_KINDS = {Conv2D: "conv2d", BatchNormalization: "batch_normalization", keras.layers.Dense: "dense"}


def save_model(model: ResNet, path: Path) -> None:
    """Writes the network with its weights.

    Keras puts the time of saving into the metadata and onto each member of the archive; both are fixed here, so that a
    model's hash says whether it is another model. The file ends in the SHA-256 of its content.

    Raises:
        UserError: the disk is full.
    """
    with replacing(path, least=4 * model.count_params()) as partial:
        model.save(partial)
        with zipfile.ZipFile(partial) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
        members["metadata.json"] = json.dumps(metadata).encode()
        config = json.loads(members["config.json"]) | {"module": MODULE}
        members["config.json"] = json.dumps(config).encode()
        partial.write_bytes(sealed(members))


def load_model(path: Path, classes: list[str], image_shape: tuple[int, int, int], precision: str = "float32") -> ResNet:
    """Reads a network that `save_model` wrote, for data of the given kind.

    A file does not say in which precision its network was trained, and can be read in any; weights are float32 in all.

    Args:
        path: of the `.keras` file.
        classes: the names of the data's labels, in their order.
        image_shape: (height, width, channels) of the data's images.
        precision: in which the network is to compute, one of `PRECISIONS`.

    Raises:
        ValueError: an unknown precision.
        UserError: the file is missing, damaged or cut short, holds something else than a `ResNet` as `save_model` writes it,
            or one for other data.
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
    try:
        with dtype_policy(precision):
            model = ResNet(**config, draw_kernels=False)
        _take_weights(model, file.weights)
    except (KeyError, OSError, EOFError, ValueError, TypeError) as error:
        raise damaged_input(path, error) from error
    return model


def _take_weights(model: ResNet, content: bytes) -> None:
    """Gives each layer its weights of a HDF5 that Keras wrote.

    `keras.saving.load_model` would read and unpack the file once more, and draw the weights that are replaced at once.

    Raises:
        KeyError: a layer is missing.
        ValueError: a layer's weights are of another number or shape.
    """
    import h5py

    count: Counter[str] = Counter()
    with h5py.File(io.BytesIO(content), "r") as file:
        for layer in model.layers:
            if layer.weights:
                kind = _KINDS[type(layer)]
                name = f"{kind}_{count[kind]}" if count[kind] else kind
                count[kind] += 1
                layer.load_own_variables(file[f"layers/{name}/vars"])


def _some(names: list[str] | None) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "without names"
