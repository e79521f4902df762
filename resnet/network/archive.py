"""What a `.keras` file must be before a network is made of it: the data of one `ResNet`, sealed by its SHA-256, nothing else.

Keras's safe mode refuses lambdas. It still imports the modules and makes the layers that a file names, allocates the shapes
that it asks for and follows links within its HDF5. Here a file is compared with what `save_model` writes, so that nothing is
used that needs to be trusted.
"""

import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resnet.core.errors import UserError, damaged_input, missing_input

MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can date
_SEAL = b"sha256:"  # then 64 digits: the archive's comment, so that the file ends in the hash of all before
_DIGITS = 64
_LARGEST_JSON = 64 * 2**20  # 65,536 names of classes of 1,000 bytes each
# What a file calls the class. It stays when the class moves to another module, so that older files can be read.
MODULE = "resnet.model"
_CLASS = {
    "module": MODULE,
    "class_name": "ResNet",
    "registered_name": "resnet>ResNet",
    "build_config": {"input_shape": None},
    "compile_config": {},
}
_HDF5_NAME = re.compile(r"(layers/[a-z0-9_]+/)?vars(/\d+)?|layers(/[a-z0-9_]+)?")
_BASIC, _DEPTHS = (18, 34), (18, 34, 50, 101, 152)
_MOST_STAGES, _MOST_BLOCKS, _MOST_WIDTH = 8, 1000, 2**16


def sealed(members: dict[str, bytes]) -> bytes:
    """The archive of these members, without dates; it ends in the SHA-256 of all that comes before."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)
        archive.comment = _SEAL + bytes(_DIGITS)
    with buffer.getbuffer() as whole:  # in place: each copy of ResNet-50 takes 50 ms and 94 MB
        whole[-_DIGITS:] = hashlib.sha256(whole[:-_DIGITS]).hexdigest().encode()
    return buffer.getvalue()


@dataclass(frozen=True)
class ModelFacts:
    """What a network knows.

    Attributes:
        class_names: in the order of its logits.
        image_shape: (height, width, channels) of its images.
        config: all arguments of `resnet.network.model.ResNet`.
        keras_version: of the Keras that saved it.
    """

    class_names: list[str]
    image_shape: tuple[int, int, int]
    config: dict[str, Any]
    keras_version: str


@dataclass(frozen=True)
class ModelFile:
    """What is in a file that was checked to hold one `ResNet` and nothing else.

    Attributes:
        config: all arguments of `resnet.network.model.ResNet`.
        weights: as HDF5: the very bytes that were checked, so that nobody has to read the file again.
        keras_version: of the Keras that saved it.
    """

    config: dict[str, Any]
    weights: bytes
    keras_version: str


def read_model_facts(path: Path) -> ModelFacts:
    """What the network in a file was made of. Imports neither Keras nor TensorFlow, which take seconds.

    Raises:
        UserError: the file is missing, damaged, or anything else than what `save_model` writes with names of classes.
    """
    file = read_model(path)
    config = file.config
    if not config["class_names"]:
        raise UserError(f"{path} holds a ResNet without names of classes; name another file.")
    height, width, channels = config["input_shape"]
    return ModelFacts(list(config["class_names"]), (height, width, channels), config, file.keras_version)


def read_model(path: Path) -> ModelFile:
    """Checks that a file holds one `ResNet` and nothing else.

    Raises:
        UserError: the file is missing, damaged, or anything else than what `save_model` writes.
    """
    try:
        with path.open("rb") as file:
            _check_seal(path, file)
            with zipfile.ZipFile(file) as archive:
                _check_members(path, archive)
                config = _arguments(path, archive.read("config.json"))
                weights = archive.read("model.weights.h5")
                keras_version = str(json.loads(archive.read("metadata.json"))["keras_version"])
                _check_weights(path, weights, config)
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise damaged_input(path, error) from error
    return ModelFile(config, weights, keras_version)


def refused(path: Path, why: str) -> UserError:
    """What to say of a file that holds something else than a model of this project."""
    return UserError(
        f"{path} is refused, because {why}: models are read as data, and only as this project writes them; run `dvc repro`, "
        "which makes it anew."
    )


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
        raise damaged_input(path, "it does not end in the SHA-256 of its content")


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if [member.filename for member in members] != MEMBERS:
        raise refused(path, f"its members are {_some(archive.namelist())} instead of {', '.join(MEMBERS)}")
    if members[0].header_offset:
        raise refused(path, "there is something before its first member")
    size = 0
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size or member.flag_bits & 1:
            raise refused(path, f"{member.filename} in it is compressed or encrypted")
        if member.header_offset < size:
            raise refused(path, f"{member.filename} in it overlaps another member")
        size = member.header_offset + member.file_size
        if member.filename.endswith(".json") and member.file_size > _LARGEST_JSON:
            raise refused(path, f"{member.filename} in it has {member.file_size:,} bytes")


def _arguments(path: Path, content: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(content)
    except RecursionError as error:
        raise refused(path, "its config.json is nested without end") from error
    if not isinstance(whole, dict):
        raise refused(path, "its config.json is no object")
    if (whole.get("module"), whole.get("class_name")) != (_CLASS["module"], _CLASS["class_name"]):
        raise refused(path, f"it holds a {str(whole.get('class_name'))[:60]!r} instead of a ResNet")
    arguments = whole.pop("config", None)
    if whole != _CLASS or not isinstance(arguments, dict):
        raise refused(path, "its config.json asks for more than a ResNet")
    _check_arguments(path, arguments)
    return arguments


def _check_arguments(path: Path, given: dict[str, Any]) -> None:
    """Raises `UserError` unless the arguments are of the right types and not beyond all measure."""

    def whole(value: object, most: int) -> bool:
        return type(value) is int and 1 <= value <= most

    names, blocks, shape = given.get("class_names"), given.get("blocks"), given.get("input_shape")
    right = {
        "input_shape": isinstance(shape, list) and len(shape) == 3 and all(whole(side, 2**16) for side in shape),
        "classes": whole(given.get("classes"), 2**16),
        "depth": type(given.get("depth")) is int and given["depth"] in _DEPTHS,
        "variant": given.get("variant") in ("v1", "v1.5", "D"),
        "stem": given.get("stem") in ("large", "small"),
        "blocks": isinstance(blocks, list)
        and 1 <= len(blocks) <= _MOST_STAGES
        and all(whole(depth, _MOST_BLOCKS) for depth in blocks),
        "width": whole(given.get("width"), _MOST_WIDTH),
        "momentum": type(given.get("momentum")) is float and 0 < given["momentum"] < 1,
        "zero_init_last_gamma": type(given.get("zero_init_last_gamma")) is bool,
        "class_names": names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names)),
        "name": given.get("name") == "resnet",
    }
    if given.keys() != right.keys():
        raise refused(path, f"the arguments in its config.json are {_some(list(given))}")
    for name, well in right.items():
        if not well:
            raise refused(path, f"{name} in its config.json is {str(given[name])[:60]}")


def count_weights(config: dict[str, Any]) -> int:
    """Numbers in the weights of a `ResNet`, biases of its convolutions apart; it makes none of them."""
    width, before, basic = config["width"], config["width"], config["depth"] in _BASIC
    count = _count_of_stem(config)
    for stage, blocks in enumerate(config["blocks"]):
        filters = width * 2**stage
        after = filters if basic else 4 * filters
        kernels = ((3, filters), (3, filters)) if basic else ((1, filters), (3, filters), (1, after))
        for block in range(blocks):
            count += _count_in_row(before, kernels)
            # A bottleneck stage begins with a shortcut that convolves; a basic one if it changes something.
            if block == 0 and (not basic or stage > 0 or before != after):
                count += _count_in_row(before, ((1, after),))
            before = after
    return int(count + before * config["classes"] + config["classes"])


def _count_of_stem(config: dict[str, Any]) -> int:
    width = config["width"]
    kernels: tuple[tuple[int, int], ...] = ((3 if config["stem"] == "small" else 7, width),)
    if config["variant"] == "D":
        kernels = ((3, width // 2), (3, width // 2), (3, width))
    return _count_in_row(config["input_shape"][2], kernels)


def _count_in_row(channels: int, kernels: tuple[tuple[int, int], ...]) -> int:
    """Of convolutions with (side, filters) one after another, each with its batch normalisation."""
    count = 0
    for side, filters in kernels:
        count += side * side * channels * filters + 4 * filters
        channels = filters
    return count


def _check_weights(path: Path, content: bytes, config: dict[str, Any]) -> None:
    """Raises `UserError` unless the HDF5 has plain numbers in plain places, enough of them for the network and no more."""
    import h5py

    least = 4 * count_weights(config)
    if least > len(content):
        raise refused(path, f"its network has weights of {least:,} bytes, and there are {len(content):,} in the file")
    found = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        pending = [("", file)]
        while pending:
            prefix, group = pending.pop()
            for key in group:
                name = f"{prefix}{key}"
                if not _HDF5_NAME.fullmatch(name) or not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise refused(path, f"its weights have a link or a name that no network has, {name[:60]!r}")
                node = group[key]
                if isinstance(node, h5py.Group):
                    pending.append((f"{name}/", node))
                elif isinstance(node, h5py.Dataset) and _is_plain(node):
                    found += node.nbytes
                else:
                    raise refused(path, f"{name} of its weights is stored in another way than as plain numbers")
    if not least <= found <= len(content):
        raise refused(path, f"its weights have {found:,} bytes where its network has {least:,}")


def _is_plain(dataset: Any) -> bool:
    """Whether all numbers are in the file itself, once, as they are: what is chunked may be compressed, or not be there."""
    return (
        dataset.dtype == "<f4"
        and dataset.chunks is None
        and not dataset.external
        and not dataset.is_virtual
        and dataset.id.get_storage_size() == dataset.nbytes
    )


def _some(names: list[str]) -> str:
    return ", ".join(name[:60] for name in names[:5]) + (", ..." if len(names) > 5 else "")
