"""The record of the models that exports were made from."""

import hashlib
from pathlib import Path

import pytest

from commands.export_record import MADE_FROM, record_export, recorded_exports


def test_each_export_has_the_hash_of_its_model(tmp_path: Path) -> None:
    for name, content in (("a.keras", b"first"), ("b.keras", b"second")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "resnet.onnx").touch()
    (tmp_path / "resnet-savedmodel").mkdir()
    record_export(tmp_path / "resnet.onnx", tmp_path / "a.keras")
    record_export(tmp_path / "resnet-savedmodel", tmp_path / "a.keras")
    record_export(tmp_path / "resnet.onnx", tmp_path / "b.keras")
    assert recorded_exports(tmp_path) == {
        "resnet-savedmodel": hashlib.sha256(b"first").hexdigest(),
        "resnet.onnx": hashlib.sha256(b"second").hexdigest(),
    }
    (tmp_path / "resnet.onnx").unlink()
    assert list(recorded_exports(tmp_path)) == ["resnet-savedmodel"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7"])
def test_without_a_valid_record_nothing_is_known(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / MADE_FROM).write_text(text)
    assert recorded_exports(tmp_path) == {}
