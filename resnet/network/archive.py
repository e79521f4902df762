"""The `.keras` files of this project as plain data: the settings and weights of one `ResNet`, sealed by their SHA-256.

Keras's safe mode refuses lambdas, but it still imports the modules and builds the layers that a file names, allocates the
shapes that it asks for, and follows links inside its HDF5. This module accepts only what `save_model` writes, so a file from
an untrusted source can be read. It needs neither Keras nor TensorFlow, whose imports take seconds.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resnet.core.errors import UserError, missing_input
from resnet.core.words import counted
from resnet.network.plan import plan

if TYPE_CHECKING:
    from resnet.network.known_score import KnownScore

MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]
KNOWN_SCORE = "known_score.f32"  # a fourth member, in files whose configuration has `refuses`

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold
_SEAL = b"sha256:"  # with 64 digits it is the archive's comment, so the file ends in the hash of everything before them
_DIGITS = 64
_LARGEST_JSON = 64 * 2**20  # 65,536 class names of 1,000 bytes each
_CLASS = {
    # A fixed name, not where the class is defined today: it is part of the file's bytes, and older files must stay readable.
    "module": "resnet.model",
    "class_name": "ResNet",
    "registered_name": "resnet>ResNet",
    "build_config": {"input_shape": None},
    "compile_config": {},
}
_HDF5_NAME = re.compile(r"(layers/[a-z0-9_]+/)?vars(/\d+)?|layers(/[a-z0-9_]+)?")
_DEPTHS = (18, 34, 50, 101, 152)
_MOST_STAGES, _MOST_BLOCKS, _MOST_WIDTH = 8, 1000, 2**16
_LARGEST_OFFSET = 1000.0
_LARGEST_TEMPERATURE = 1000.0  # and the smallest is one over it; `resnet.training.temperature` stays far within
_LARGEST_SIDE = 1024  # the largest preprocess.image_size; OpenVINO does not return from the compilation of a side of 65,536


class RefusedModelError(UserError):
    """A file that is damaged, or that holds something other than one `ResNet` as `save_model` writes it.

    Attributes:
        reason: what is wrong, without the path and without advice.
    """

    def __init__(self, path: Path, why: object, *, damaged: bool = False) -> None:
        reason = (str(why).splitlines() or [type(why).__name__])[0].rstrip(".")
        if damaged:
            text = f"{path} is damaged or cut short ({reason}); remove it and run `dvc repro`, which writes it again."
        else:
            text = (
                f"{path} is refused, because {reason}: models are read as data, and only in the form that this project writes; "
                "run `dvc repro`, which writes it again."
            )
        super().__init__(text)
        self.reason = reason


@contextmanager
def named_by_user(model: Path | None) -> Iterator[None]:
    """Replaces the advice of a refusal, to remove the file and make it again, in the block: the file is the user's own.

    Args:
        model: the value of the option `--model`; None if it was not given, and then the advice stays.

    Raises:
        UserError: instead of a `RefusedModelError`.
    """
    try:
        yield
    except RefusedModelError as error:
        if model is None:
            raise
        raise UserError(
            f"--model {model} cannot be read as a model ({error.reason}): name a `.keras` file that the stage train wrote."
        ) from error


@dataclass(frozen=True)
class ModelFacts:
    """What a model file says about its network.

    Attributes:
        class_names: in the order of the logits.
        image_shape: (height, width, channels) of the input images.
        config: all arguments of `resnet.network.model.ResNet`.
        keras_version: the version of Keras that saved the file.
    """

    class_names: list[str]
    image_shape: tuple[int, int, int]
    config: dict[str, Any]
    keras_version: str

    @property
    def thresholds(self) -> list[float] | None:
        """As `resnet.network.model.ResNet.thresholds`: None if each image has one label."""
        if "multi_label" not in self.config:
            return None
        return list(self.config.get("thresholds", [0.5] * len(self.class_names)))


@dataclass(frozen=True)
class ModelFile:
    """The checked content of a model file.

    Attributes:
        config: all arguments of `resnet.network.model.ResNet`, of the right types and within limits.
        weights: an HDF5 file: the very bytes that were checked, so that the file is read only once.
        weight_bytes: size of all arrays in it, which are plain float32.
        keras_version: the version of Keras that saved the file.
        known_score: tells images of the classes from others; None without one.
    """

    config: dict[str, Any]
    weights: bytes
    weight_bytes: int
    keras_version: str
    known_score: "KnownScore | None" = None


def read_model_facts(path: Path) -> ModelFacts:
    """Reads what a model file says about its network, without importing Keras or TensorFlow.

    Raises:
        UserError: the file is missing, is refused as in `read_model`, or has no class names.
    """
    return model_facts(path, read_model(path))


def model_facts(path: Path, file: ModelFile) -> ModelFacts:
    """What the content of a model file says about its network.

    Args:
        path: of the file, for messages.
        file: its content.

    Raises:
        UserError: it has no class names.
    """
    config = file.config
    if not config["class_names"]:
        raise UserError(f"{path} holds a ResNet without class names; name another file.")
    height, width, channels = config["input_shape"]
    return ModelFacts(list(config["class_names"]), (height, width, channels), config, file.keras_version)


def read_model(path: Path) -> ModelFile:
    """Reads a file and checks everything that can be checked without building the network.

    The caller must still compare `weight_bytes` with what the network needs: `resnet.network.saving` does.

    Raises:
        UserError: the file is missing.
        RefusedModelError: the file is damaged, or is something other than what `save_model` writes.
    """
    try:
        with path.open("rb") as file:
            _check_seal(path, file)
            with zipfile.ZipFile(file) as archive:
                _check_members(path, archive)
                config = _arguments(path, archive.read("config.json"))
                weights = archive.read("model.weights.h5")
                keras_version = str(json.loads(archive.read("metadata.json"))["keras_version"])
                known_score = _known_score(path, archive, config)
        return ModelFile(config, weights, _check_weights(path, weights, config), keras_version, known_score)
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise RefusedModelError(path, error, damaged=True) from error


def seal(path: Path, known_score: "KnownScore | None" = None) -> None:
    """Rewrites a `.keras` file that Keras has just written so that equal models have equal bytes.

    Keras puts the time of saving into the metadata and into the entry of each member; both become constant. So does the name of
    the module that defines `ResNet`. A known score becomes a fourth member, which Keras ignores. The file
    then ends in the SHA-256 of its content.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    members["metadata.json"] = json.dumps(metadata).encode()
    config = json.loads(members["config.json"]) | {"module": _CLASS["module"]}
    members["config.json"] = json.dumps(config).encode()
    if known_score is not None:
        members[KNOWN_SCORE] = known_score.to_bytes()
    path.write_bytes(sealed(members))


def sealed(members: dict[str, bytes]) -> bytes:
    """Packs members into an archive without dates that ends in the SHA-256 of everything before it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)
        archive.comment = _SEAL + bytes(_DIGITS)
    with buffer.getbuffer() as whole:  # in place: each copy of ResNet-50 takes 50 ms and 94 MB
        whole[-_DIGITS:] = hashlib.sha256(whole[:-_DIGITS]).hexdigest().encode()
    return buffer.getvalue()


def _check_seal(path: Path, file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _DIGITS - len(_SEAL)))
    seal = file.read()
    file.seek(0)
    digest = hashlib.sha256()
    left = size - _DIGITS
    while left > 0 and (part := file.read(min(left, 2**20))):
        digest.update(part)
        left -= len(part)
    if seal != _SEAL + digest.hexdigest().encode():
        raise RefusedModelError(path, "it does not end in the SHA-256 of its content", damaged=True)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if [member.filename for member in members] not in (MEMBERS, [*MEMBERS, KNOWN_SCORE]):
        raise RefusedModelError(path, f"its members are {_some(archive.namelist())} instead of {', '.join(MEMBERS)}")
    if members[0].header_offset:
        raise RefusedModelError(path, "it has data before its first member")
    size = 0
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size or member.flag_bits & 1:
            raise RefusedModelError(path, f"{member.filename} in it is compressed or encrypted")
        if member.header_offset < size:
            raise RefusedModelError(path, f"{member.filename} in it overlaps another member")
        size = member.header_offset + member.file_size
        if member.filename.endswith(".json") and member.file_size > _LARGEST_JSON:
            raise RefusedModelError(path, f"{member.filename} in it has {member.file_size:,} bytes")


def _arguments(path: Path, content: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(content)
    except RecursionError as error:
        raise RefusedModelError(path, "its config.json is nested too deeply") from error
    if not isinstance(whole, dict):
        raise RefusedModelError(path, "its config.json is not an object")
    if (whole.get("module"), whole.get("class_name")) != (_CLASS["module"], _CLASS["class_name"]):
        raise RefusedModelError(path, f"it holds a {str(whole.get('class_name'))[:60]!r} instead of a ResNet")
    arguments = whole.pop("config", None)
    if whole != _CLASS or not isinstance(arguments, dict):
        raise RefusedModelError(path, "its config.json asks for more than a ResNet")
    _check_arguments(path, arguments)
    return arguments


def _check_arguments(path: Path, given: dict[str, Any]) -> None:
    """Raises `RefusedModelError` unless the arguments have the right types and are within limits."""

    def is_count(value: object, most: int) -> bool:
        return type(value) is int and 1 <= value <= most

    names, blocks, shape, classes = (given.get(name) for name in ("class_names", "blocks", "input_shape", "classes"))
    right = {
        "input_shape": isinstance(shape, list)
        and len(shape) == 3
        and is_count(shape[0], _LARGEST_SIDE)
        and shape == [shape[0], shape[0], 3],
        "classes": is_count(classes, 2**16) and classes != 1,
        "depth": type(given.get("depth")) is int and given["depth"] in _DEPTHS,
        "variant": given.get("variant") in ("v1", "v1.5", "D"),
        "stem": given.get("stem") in ("large", "small"),
        "blocks": isinstance(blocks, list)
        and 1 <= len(blocks) <= _MOST_STAGES
        and all(is_count(depth, _MOST_BLOCKS) for depth in blocks),
        "width": is_count(given.get("width"), _MOST_WIDTH),
        "momentum": type(given.get("momentum")) is float and 0 < given["momentum"] < 1,
        "zero_init_last_gamma": type(given.get("zero_init_last_gamma")) is bool,
        "class_names": names is None
        or (isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names)),
        "name": given.get("name") == "resnet",
    }
    if "temperature" in given:  # files of versions that did not calibrate have none
        right["temperature"] = _is_between(given["temperature"], 1 / _LARGEST_TEMPERATURE, _LARGEST_TEMPERATURE)
    if "offset" in given:
        is_number = _is_between(given["offset"], -_LARGEST_OFFSET, _LARGEST_OFFSET)
        right["offset"] = {"temperature", "multi_label"} <= given.keys() and is_number
    if "refuses" in given:
        right["refuses"] = _is_between(given["refuses"], 0.0, 0.5)
    if "multi_label" in given:
        right["multi_label"] = given["multi_label"] is True
    if "thresholds" in given:
        found = given["thresholds"]
        are_right = isinstance(found, list) and len(found) == classes and all(_is_between(one, 0.0, 1.0) for one in found)
        right["thresholds"] = "multi_label" in given and are_right
    if given.keys() != right.keys():
        raise RefusedModelError(path, f"the arguments in its config.json are {_some(list(given))}")
    for name, is_right in right.items():
        if not is_right:
            raise RefusedModelError(path, f"{name} in its config.json is {str(given[name])[:60]}")


def _is_between(value: object, least: float, most: float) -> bool:
    """Whether it is a float in this interval. JSON as Python reads it can hold NaN and infinity."""
    return type(value) is float and least <= value <= most


def _known_score(path: Path, archive: zipfile.ZipFile, config: dict[str, Any]) -> "KnownScore | None":
    is_there = KNOWN_SCORE in archive.namelist()
    if is_there != ("refuses" in config):
        raise RefusedModelError(path, f"it has {KNOWN_SCORE} without `refuses` in its config.json, or the other way round")
    if not is_there:
        return None
    from resnet.network.known_score import read_known_score  # imports NumPy, which `--help` does not need

    try:
        return read_known_score(archive.read(KNOWN_SCORE), plan(config).features, config["classes"])
    except ValueError as error:
        raise RefusedModelError(path, error) from error


def _check_weights(path: Path, content: bytes, config: dict[str, Any]) -> int:
    """Returns the size in bytes of all arrays in the HDF5.

    Raises:
        RefusedModelError: it has links, unexpected names or arrays that are not plain numbers, or fewer arrays than blocks.
    """
    import h5py

    arrays, size = 0, 0
    with h5py.File(io.BytesIO(content), "r") as file:
        pending = [("", file)]
        while pending:
            prefix, group = pending.pop()
            for key in group:
                name = f"{prefix}{key}"
                if not _HDF5_NAME.fullmatch(name) or not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise RefusedModelError(path, f"its weights have a link or an unexpected name, {name[:60]!r}")
                node = group[key]
                if isinstance(node, h5py.Group):
                    pending.append((f"{name}/", node))
                elif isinstance(node, h5py.Dataset) and _is_plain(node):
                    arrays, size = arrays + 1, size + node.nbytes
                else:
                    raise RefusedModelError(path, f"{name} in its weights is not stored as plain numbers")
    if size > len(content):  # one array under several names
        raise RefusedModelError(path, f"its weights have arrays of {size:,} bytes in a file of {len(content):,}")
    # Each block has weights. Without this limit a small file could name 8,000 blocks, which take minutes to build.
    if sum(config["blocks"]) > arrays:
        blocks, found = counted(sum(config["blocks"]), "block"), counted(arrays, "array")
        raise RefusedModelError(path, f"its network has {blocks}, and its weights have {found}")
    return size


def _is_plain(dataset: Any) -> bool:
    """Whether the array is float32 and stored uncompressed in the file itself; chunks may be compressed or missing."""
    return (
        dataset.dtype == "<f4"
        and dataset.chunks is None
        and not dataset.external
        and not dataset.is_virtual
        and dataset.id.get_storage_size() == dataset.nbytes
    )


def _some(names: list[str]) -> str:
    return ", ".join(name[:60] for name in names[:5]) + (", ..." if len(names) > 5 else "")
