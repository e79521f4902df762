"""Models as `.keras` files: whole or absent, and equal in every byte when the models are equal."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from resnet.errors import UserError, damaged_input, missing_input
from resnet.files import replacing
from resnet.model import ResNet

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # and Keras's dtype policies

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can date


def save_model(model: ResNet, path: Path) -> None:
    """Writes the network with its weights.

    Keras puts the time of saving into the metadata and onto each member of the archive; both are fixed here, so that a
    model's hash says whether it is another model.

    Raises:
        UserError: the disk is full.
    """
    with replacing(path) as partial:
        model.save(partial)
        with zipfile.ZipFile(partial) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
        members["metadata.json"] = json.dumps(metadata).encode()
        with zipfile.ZipFile(partial, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)


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
        UserError: the file is missing, cut short, holds something else than a `ResNet`, or one for other data.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}. Received: {precision!r}.")
    if not path.is_file():
        raise missing_input(path)
    try:
        with dtype_policy(precision):
            model = keras.saving.load_model(path, compile=False)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, TypeError) as error:
        raise damaged_input(path, error) from error
    if not isinstance(model, ResNet):
        raise UserError(f"{path} holds a {type(model).__name__} instead of a ResNet; run `dvc repro`, which makes it anew.")
    if model.class_names != classes:
        raise UserError(
            f"{path} knows {model.classes} classes ({_some(model.class_names)}), but the data have {len(classes)} "
            f"({_some(classes)}); run `dvc repro`, which makes a model for these data."
        )
    if model.input_shape[1:] != image_shape:
        raise UserError(
            f"{path} takes images of {model.input_shape[1:]}, but the data's are {image_shape}; run `dvc repro`, which makes a "
            "model for these data."
        )
    return model


@contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """While the block lasts, layers are made to compute in one of `PRECISIONS`, with weights in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _some(names: list[str] | None) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "without names"
