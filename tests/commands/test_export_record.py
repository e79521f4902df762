"""The record of the models that exports were made from."""

import hashlib
from pathlib import Path

import pytest

from commands.export_record import MADE_FROM, export_hash, record_export, recorded_exports


def test_each_export_has_the_hash_of_its_model(tmp_path: Path) -> None:
    for name, content in (("a.keras", b"first"), ("b.keras", b"second")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "resnet.onnx").touch()
    (tmp_path / "resnet-savedmodel").mkdir()
    record_export(tmp_path / "resnet.onnx", tmp_path / "a.keras")
    record_export(tmp_path / "resnet-savedmodel", tmp_path / "a.keras")
    record_export(tmp_path / "resnet.onnx", tmp_path / "b.keras")
    assert {name: made.model for name, made in recorded_exports(tmp_path).items()} == {
        "resnet-savedmodel": hashlib.sha256(b"first").hexdigest(),
        "resnet.onnx": hashlib.sha256(b"second").hexdigest(),
    }
    (tmp_path / "resnet.onnx").unlink()
    assert list(recorded_exports(tmp_path)) == ["resnet-savedmodel"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", '{"resnet.onnx": "0123"}', '{"resnet.onnx": {"model": "0123"}}'])
def test_without_a_valid_record_nothing_is_known(text: str | None, tmp_path: Path) -> None:
    (tmp_path / "resnet.onnx").touch()
    if text is not None:
        (tmp_path / MADE_FROM).write_text(text)
    assert recorded_exports(tmp_path) == {}


def test_the_hash_is_of_all_files_of_an_export(tmp_path: Path) -> None:
    export = tmp_path / "resnet-savedmodel"
    (export / "variables").mkdir(parents=True)
    (export / "variables/index").write_bytes(b"1")
    (export / "a.pb").write_bytes(b"2")
    hashes = [hashlib.sha256(content).hexdigest() for content in (b"2", b"1")]
    text = f"{hashes[0]}  resnet-savedmodel/a.pb\n{hashes[1]}  resnet-savedmodel/variables/index\n"
    first = export_hash(export)
    assert first == hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "resnet-savedmodel.json").write_text("{}")  # the report of an int8 export
    assert export_hash(export) != first
