"""Pretrained weights to start from: Keras's published ImageNet weights, or those of another network of this project.

The head keeps its random weights where the classes differ. If any layer does not fit, no weights are copied.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.network.archive import RefusedModelError
from resnet.network.model import ResNet
from resnet.network.normalisation import DEVIATION
from resnet.network.saving import load_any_model

RANDOM, IMAGENET = "builtin/random", "builtin/imagenet"
_PUBLISHED = "imagenet"  # Keras's name

_HEAD = "predictions"
_FIRST = "conv1_conv"
_TIMEOUT = 30  # seconds without an answer before a download fails; Keras itself sets no limit

Weights = Mapping[str, list[npt.NDArray[np.float32]]]


def initialise(model: ResNet, weights: str) -> None:
    """Gives a new network its initial weights.

    Args:
        model: with random weights.
        weights: `RANDOM` keeps them, `IMAGENET` calls `take_published`, anything else is a path for `take_model`.

    Raises:
        UserError: as these functions do.
    """
    if weights == IMAGENET:
        take_published(model)
    elif weights != RANDOM:
        take_model(model, Path(weights))


def take_published(model: ResNet, weights: str = _PUBLISHED) -> None:
    """Copies the ImageNet weights of Keras's ResNet of the same depth, except the head.

    Keras's network expects blue, green, red minus their means; this one expects red, green, blue minus the same means, divided
    by the standard deviations (`resnet.network.normalisation`). The channels of the first kernel are therefore reversed and
    multiplied by the deviations. Nothing else changes: zero, which also pads the borders, is the same colour in both.

    Args:
        model: of variant v1 and depth 50, 101 or 152.
        weights: "imagenet" lets Keras download them; it checks their hash and keeps them in `~/.keras`. Otherwise the path of a
            file that `keras.applications.ResNet50(include_top=False).save_weights` wrote.

    Raises:
        UserError: Keras has no such network, the download failed, or a layer has another shape.
    """
    config = model.get_config()
    makers = {50: keras.applications.ResNet50, 101: keras.applications.ResNet101, 152: keras.applications.ResNet152}
    if config["variant"] != "v1" or config["depth"] not in makers:
        raise UserError(
            f"build.weights is {IMAGENET}, which Keras has for build.variant v1 and build.depth 50, 101 or 152, but they are "
            f"{config['variant']} and {config['depth']}: change them, or start from random weights with build.weights {RANDOM}."
        )
    try:
        with _socket_timeout(_TIMEOUT):
            published = makers[config["depth"]](include_top=False, weights=weights)
    except Exception as error:  # Keras's downloader raises nothing narrower
        raise UserError(
            f"the ImageNet weights could not be downloaded ({_first_line(error)}): check the network, or start from random "
            f"weights with build.weights {RANDOM}."
        ) from error
    found = _weights_of(published)
    found[_FIRST][0] = found[_FIRST][0][:, :, ::-1] * np.array(DEVIATION, np.float32)[:, np.newaxis]
    _take(model, found, f"build.weights is {IMAGENET}", "these are for build.stem large, build.width 64 and build.blocks null")


def take_model(model: ResNet, path: Path) -> None:
    """Copies the weights of another network of this project; its head too if both are for the same classes in the same way.

    Args:
        model: of the same architecture; its image size may differ.
        path: of a `.keras` file that `resnet.network.saving.save_model` wrote.

    Raises:
        UserError: the file is missing or is not such a file, or its layers differ.
    """
    if not path.is_file():
        raise UserError(f"build.weights is {path}, but there is no such file in {Path.cwd()}: correct the path.")
    try:
        source = load_any_model(path)
    except RefusedModelError as error:
        raise UserError(
            f"build.weights is {path}, which cannot be read as a model ({error.reason}): it must be a `.keras` file that this "
            "project wrote, such as those in models/."
        ) from error
    config = source.get_config()
    found = _weights_of(source)
    is_same = (source.class_names, source.multi_label) == (model.class_names, model.multi_label)
    if source.class_names is None or not is_same:
        del found[_HEAD]
    else:
        # Training goes on from the logits that were trained, and `train` calibrates it anew.
        kernel, bias = found[_HEAD]
        temperature, offset = np.float32(source.temperature), np.float32(source.offset)
        found[_HEAD] = [kernel * temperature, (bias - offset) * temperature]
    made_as = ", ".join(f"{name} {config[name]}" for name in ("depth", "variant", "stem", "blocks", "width"))
    _take(model, found, f"build.weights is {path}", f"it was made with {made_as}")


def _weights_of(model: keras.Model) -> dict[str, list[npt.NDArray[np.float32]]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _take(model: ResNet, found: Weights, what: str, origin: str) -> None:
    """Sets the weights of all layers, matched by name; sets none if any differs."""
    wanted = _weights_of(model)
    advice = f"{origin}; set build.depth, variant, stem, blocks and width to match"
    for name in [*wanted, *found]:
        if name == _HEAD and name not in found:
            continue
        there, here = (_shapes(weights.get(name)) for weights in (found, wanted))
        if there != here:
            raise UserError(f"{what}, where layer {name} {there}, but here it {here}: {advice}.")
    for name, weights in found.items():
        model.get_layer(name).set_weights(weights)


def _shapes(weights: list[npt.NDArray[np.float32]] | None) -> str:
    return "is missing" if weights is None else f"has weights of {' '.join(str(weight.shape) for weight in weights)}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
