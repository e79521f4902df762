"""First weights that were learned elsewhere: Keras's published ones of ImageNet, or those of another network of ours.

The head is new, because the classes are other ones. Nothing is taken unless all of it fits.
"""

import socket
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.network.model import ResNet
from resnet.network.normalisation import DEVIATION

RANDOM, IMAGENET = "builtin/random", "builtin/imagenet"

_HEAD = "predictions"
_FIRST = "conv1_conv"
_SECONDS = 30  # without an answer, after which a download is given up; Keras itself would wait for ever

Weights = Mapping[str, list[npt.NDArray[np.float32]]]


def initialise(model: ResNet, weights: str) -> None:
    """Gives a new network its first weights.

    Args:
        model: with random weights.
        weights: `RANDOM` leaves them, `IMAGENET` is for `take_published`, anything else a path for `take_model`.

    Raises:
        UserError: see these.
    """
    if weights == IMAGENET:
        take_published(model)
    elif weights != RANDOM:
        take_model(model, Path(weights))


def take_published(model: ResNet, weights: str = IMAGENET) -> None:
    """Takes over what Keras's ResNet of the same depth learned on ImageNet, all but the head.

    Theirs wants blue, green, red less their means; ours wants red, green, blue less the same means and divided by deviations
    (`resnet.network.normalisation`). So the first kernel is turned round and multiplied by the deviations, and that is all:
    zero is the same colour to both, and what pads the borders is zero.

    Args:
        model: of variant v1 and depth 50, 101 or 152.
        weights: `IMAGENET` downloads them by Keras's own downloader, which checks their hash and keeps them in `~/.keras`; or
            the path of a file as `keras.applications.ResNet50(include_top=False).save_weights` writes it.

    Raises:
        UserError: Keras has no such network, the download failed, or a layer has another shape here.
    """
    config = model.get_config()
    makers = {50: keras.applications.ResNet50, 101: keras.applications.ResNet101, 152: keras.applications.ResNet152}
    if config["variant"] != "v1" or config["depth"] not in makers:
        raise UserError(
            f"build.weights is {IMAGENET}, which Keras has for build.variant v1 and build.depth 50, 101 or 152, but they are "
            f"{config['variant']} and {config['depth']}: change them, or start from random weights."
        )
    try:
        with _patience(_SECONDS):
            theirs = makers[config["depth"]](include_top=False, weights=weights)
    except Exception as error:  # Keras's downloader raises nothing narrower
        raise UserError(
            f"the weights of ImageNet could not be had ({_first_line(error)}): check the network, or start from random weights "
            "with build.weights random."
        ) from error
    found = _weights_of(theirs)
    found[_FIRST][0] = found[_FIRST][0][:, :, ::-1] * np.array(DEVIATION, np.float32)[:, np.newaxis]
    _take(model, found, f"build.weights is {IMAGENET}", "these are for build.stem large, build.width 64 and build.blocks null")


def take_model(model: ResNet, path: Path) -> None:
    """Takes over what another network of ours learned, all but the head; that too if it is for the same classes.

    Args:
        model: of the same architecture; images may have another size.
        path: of a `.keras` file that `resnet.network.saving.save_model` wrote.

    Raises:
        UserError: the file is missing or no network of ours, or one with other layers.
    """
    if not path.is_file():
        raise UserError(f"build.weights is {path}, but there is no such file in {Path.cwd()}: mend the path.")
    try:
        source = keras.saving.load_model(path, compile=False)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, TypeError) as error:
        raise UserError(
            f"build.weights is {path}, which cannot be read as a model ({_first_line(error)}): it must be a `.keras` file of "
            "this project, as models/ has it."
        ) from error
    if not isinstance(source, ResNet):
        raise UserError(f"build.weights is {path}, which holds a {type(source).__name__}: it must be a ResNet of this project.")
    config = source.get_config()
    found = _weights_of(source)
    if source.class_names is None or source.class_names != model.class_names:
        del found[_HEAD]
    made_as = ", ".join(f"{name} {config[name]}" for name in ("depth", "variant", "stem", "blocks", "width"))
    _take(model, found, f"build.weights is {path}", f"it was made with {made_as}")


def _weights_of(model: keras.Model) -> dict[str, list[npt.NDArray[np.float32]]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _take(model: ResNet, found: Weights, what: str, origin: str) -> None:
    """Sets the weights of all layers, by their names, or none."""
    wanted = _weights_of(model)
    advice = f"{origin}; set build.depth, variant, stem, blocks and width alike"
    for name in [*wanted, *found]:
        if name == _HEAD and name not in found:
            continue
        theirs, ours = (_shapes(weights.get(name)) for weights in (found, wanted))
        if theirs != ours:
            raise UserError(f"{what}, where layer {name} {theirs}, but here it {ours}: {advice}.")
    for name, weights in found.items():
        model.get_layer(name).set_weights(weights)


def _shapes(weights: list[npt.NDArray[np.float32]] | None) -> str:
    return "is missing" if weights is None else f"has weights of {' '.join(str(weight.shape) for weight in weights)}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
