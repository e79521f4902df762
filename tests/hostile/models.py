"""Files that are not models of this project; some would do harm if Keras loaded them.

Nearly all end in the correct SHA-256 of their content, as an attacker can compute it.
"""

import base64
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from resnet.network.archive import sealed

Members = dict[str, bytes]


@dataclass(frozen=True)
class HostileModel:
    """A file, and a part of the message that it is refused with.

    Attributes:
        name: what is wrong with it.
        content: of the file.
        refusal: a regular expression.
    """

    name: str
    content: bytes
    refusal: str


def hostile_models(model: Path, touched: Path) -> list[HostileModel]:
    """Changed copies of a saved `ResNet`; code in them would create the file `touched`."""
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    models = [
        *_other_classes(members, config, touched),
        *_other_arguments(members, config),
        *_other_archives(members, model.read_bytes()),
        *_other_weights(members, touched),
    ]
    return [*models, *_no_archives(model.read_bytes(), touched)]


def reseal(content: bytes) -> bytes:
    """The archive with its hash corrected."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def _with_config(members: Members, config: Any) -> bytes:
    return sealed(members | {"config.json": json.dumps(config).encode()})


def _other_classes(members: Members, config: dict[str, Any], touched: Path) -> list[HostileModel]:
    code = compile(f"open({str(touched)!r}, 'w')", "x", "eval")
    body = base64.b64encode(__import__("marshal").dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": body, "defaults": None, "closure": None}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None, "config": {"function": function}}
    model = {"module": "keras", "class_name": "Sequential", "registered_name": "Sequential", "config": {"layers": [layer]}}
    system = {"module": "os", "class_name": "system", "registered_name": None, "config": f"touch {touched}"}
    call = {"module": "builtins", "class_name": "eval", "registered_name": "eval", "config": {"source": "1"}}
    inner = json.loads(json.dumps(config))
    inner["config"]["name"] = layer
    built = config | {"build_config": {"input_shape": [10**9, 10**9]}}
    compiled = config | {"compile_config": {"optimizer": system}}
    registered = config | {"registered_name": "builtins>eval"}
    extra = config | {"shared_object_id": 1}
    deep = b'{"module": "resnet.network.model", "config": ' + b"[" * 200_000
    return [
        HostileModel("a Lambda layer", _with_config(members, model), "'Sequential' instead of a ResNet"),
        HostileModel("a bare Lambda layer", _with_config(members, layer), "'Lambda' instead of a ResNet"),
        HostileModel("a foreign module", _with_config(members, system), "'system' instead of a ResNet"),
        HostileModel("a builtin", _with_config(members, call), "'eval' instead of a ResNet"),
        HostileModel("a layer for a name", _with_config(members, inner), "name in its config.json"),
        HostileModel("a giant build", _with_config(members, built), "asks for more than a ResNet"),
        HostileModel("an optimizer of a foreign module", _with_config(members, compiled), "asks for more than a ResNet"),
        HostileModel("another registered name", _with_config(members, registered), "asks for more than a ResNet"),
        HostileModel("an unknown key", _with_config(members, extra), "asks for more than a ResNet"),
        HostileModel("a nested configuration", sealed(members | {"config.json": deep}), "damaged|nested too deeply"),
        HostileModel("a list for a configuration", _with_config(members, [config]), "config.json is not an object"),
        HostileModel("no JSON", sealed(members | {"config.json": b"\x80\x04."}), "damaged"),
    ]


def _other_arguments(members: Members, config: dict[str, Any]) -> list[HostileModel]:
    several = {"temperature": 1.5, "multi_label": True}
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "a giant width": ({"width": 2**16}, "its weights have [0-9,]+ bytes where its network has [0-9,]{13,}"),
        "a width of 10**12": ({"width": 10**12}, "width in its config.json"),
        "a width of text": ({"width": "64"}, "width in its config.json"),
        "8,000 blocks": ({"blocks": [1000] * 8}, "its network has 8,000 blocks, and its weights have 27 arrays"),
        "more blocks than there are weights for": ({"blocks": [9]}, "its weights have [0-9,]+ bytes where its network has"),
        "too many names": ({"classes": 2}, "class_names in its config.json"),
        "too few names": ({"class_names": ["a", "b"]}, "class_names in its config.json"),
        "one class": ({"classes": 1, "class_names": ["a"]}, "classes in its config.json"),
        "one channel": ({"input_shape": [32, 32, 1]}, "input_shape in its config.json"),
        "four channels": ({"input_shape": [32, 32, 4]}, "input_shape in its config.json"),
        "an oblong image": ({"input_shape": [32, 64, 3]}, "input_shape in its config.json"),
        "an image larger than any preprocess.image_size": ({"input_shape": [1025, 1025, 3]}, "input_shape in its config.json"),
        "no image": ({"input_shape": []}, "input_shape in its config.json"),
        "no variant that there is": ({"variant": ["v1"]}, "variant in its config.json"),
        "5,000 stages": ({"blocks": [1] * 5000}, "blocks in its config.json"),
        "a giant image": ({"input_shape": [10**9, 10**9, 3]}, "input_shape in its config.json"),
        "a million classes": ({"classes": 10**6}, "classes in its config.json"),
        "a momentum that is no number": ({"momentum": float("nan")}, "momentum in its config.json"),
        "a temperature of 0": ({"temperature": 0.0}, "temperature in its config.json"),
        "a temperature below 0": ({"temperature": -1.0}, "temperature in its config.json"),
        "a temperature that is no number": ({"temperature": float("nan")}, "temperature in its config.json"),
        "an infinite temperature": ({"temperature": float("inf")}, "temperature in its config.json"),
        "a temperature of text": ({"temperature": "1.5"}, "temperature in its config.json"),
        "a temperature of null": ({"temperature": None}, "temperature in its config.json"),
        "an offset without several labels": ({"temperature": 1.5, "offset": 0.1}, "offset in its config.json"),
        "an offset without a temperature": ({"multi_label": True, "offset": 0.1}, "offset in its config.json"),
        "an offset that is no number": (several | {"offset": float("nan")}, "offset in its config.json"),
        "an infinite offset": (several | {"offset": float("-inf")}, "offset in its config.json"),
        "a giant offset": (several | {"offset": 1e9}, "offset in its config.json"),
        "an offset of text": (several | {"offset": "0"}, "offset in its config.json"),
        "names that are no text": ({"class_names": [1, 2, 3]}, "class_names in its config.json"),
        "an argument more": ({"custom_objects": {}}, "the arguments in its config.json"),
    }
    return [
        HostileModel(name, _with_config(members, config | {"config": config["config"] | change}), refusal)
        for name, (change, refusal) in changes.items()
    ]


def _zip(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
        archive.comment = b"sha256:" + bytes(64)
    return reseal(buffer.getvalue())


def _other_archives(members: Members, content: bytes) -> list[HostileModel]:
    parts = list(members.items())
    bomb = sealed(members | {"config.json": b" " * (65 * 2**20)})
    claimed = bytearray(content)
    entry = claimed.rindex(b"PK\x01\x02")
    claimed[entry + 24 : entry + 28] = b"\xf0\xff\xff\xff"  # the size of the weights, in the directory
    return [
        HostileModel("a zip bomb", _zip([*parts[:2], ("model.weights.h5", bytes(2**28))], zipfile.ZIP_DEFLATED), "compressed"),
        HostileModel("a member of another size than it says", reseal(bytes(claimed)), "compressed or encrypted|damaged"),
        HostileModel("a configuration of 65 MiB", bomb, "config.json in it has"),
        HostileModel("a member that is there twice", _duplicated(parts), "its members are"),
        HostileModel("a path as a name", _zip([*parts, ("../../outside", b"x")]), "its members are"),
        HostileModel("an absolute path as a name", _zip([("/etc/passwd", b"x"), *parts]), "its members are"),
        HostileModel("an asset", _zip([*parts, ("assets/layers/x", b"x")]), "its members are"),
        HostileModel("pickled weights", _zip([*parts[:2], ("model.weights.npz", b"x")]), "its members are"),
        HostileModel("no weights", _zip(parts[:2]), "its members are"),
        HostileModel("an empty archive", _zip([]), "its members are"),
    ]


def _duplicated(parts: list[tuple[str, bytes]]) -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _zip([*parts, ("config.json", b"{}")])


def _other_weights(members: Members, touched: Path) -> list[HostileModel]:
    name = "layers/conv2d/vars/0"

    def change(make: Callable[[h5py.File], None]) -> bytes:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            make(file)
        return sealed(members | {"model.weights.h5": buffer.getvalue()})

    def replace(make: Callable[[h5py.File, tuple[int, ...]], None]) -> bytes:
        def changed(file: h5py.File) -> None:
            shape = file[name].shape
            del file[name]
            make(file, shape)

        return change(changed)

    def external(file: h5py.File, shape: tuple[int, ...]) -> None:
        file.create_dataset(name, shape, "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])

    def virtual(file: h5py.File, shape: tuple[int, ...]) -> None:
        layout = h5py.VirtualLayout(shape, "<f4")
        layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape)
        file.create_virtual_dataset(name, layout)

    def linked(link: Any) -> Callable[[h5py.File, tuple[int, ...]], None]:
        def make(file: h5py.File, _: tuple[int, ...]) -> None:
            file[name] = link

        return make

    def cyclic(file: h5py.File) -> None:
        file["layers/conv2d/vars/1"] = file["layers"]

    huge = "its weights have|not stored as plain numbers"
    pickled = np.frombuffer(pickle.dumps(_Touch(touched)), np.uint8)
    return [
        HostileModel("an external link", replace(linked(h5py.ExternalLink("/etc/passwd", "/x"))), "link or an unexpected name"),
        HostileModel("a soft link", replace(linked(h5py.SoftLink("/layers/dense/vars/0"))), "link or an unexpected name"),
        HostileModel("external storage", replace(external), "not stored as plain numbers"),
        HostileModel("a virtual dataset", replace(virtual), "not stored as plain numbers"),
        HostileModel("a group within itself", change(cyclic), "link or an unexpected name"),
        HostileModel("a shape of 4 TB", replace(lambda file, _: file.create_dataset(name, (2**20, 2**20), "<f4")), huge),
        HostileModel(
            "compressed zeros", replace(lambda file, _: file.create_dataset(name, (2**14, 2**14), "<f4", compression=9)), huge
        ),
        HostileModel("objects", replace(lambda file, _: file.create_dataset(name, data=pickled)), huge),
        HostileModel("text", replace(lambda file, _: file.create_dataset(name, data=b"x" * 100)), huge),
        HostileModel("half of the weights", change(lambda file: file.pop("layers/conv2d_2")), "its weights have"),
        HostileModel("no HDF5", sealed(members | {"model.weights.h5": bytes(len(members["model.weights.h5"]))}), "damaged"),
    ]


class _Touch:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return open, (str(self._path), "w")


def _no_archives(content: bytes, touched: Path) -> list[HostileModel]:
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:  # the format before `.keras`, which Keras reads with other rules
        file.attrs["model_config"] = "{}"
    return [
        HostileModel("a pickle", pickle.dumps(_Touch(touched)), "damaged"),
        HostileModel("a model of the older format", hdf5.getvalue(), "damaged"),
        HostileModel("without its hash", content[:-64] + b"0" * 64, "does not end in the SHA-256"),
        HostileModel("with more behind it", content + b"x", "does not end in the SHA-256"),
        HostileModel("with a program before it", reseal(b"#!/bin/sh\n" + content), "data before its first member"),
        HostileModel("an empty file", b"", "does not end in the SHA-256"),
    ]
