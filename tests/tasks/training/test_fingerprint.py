"""The facts of inputs and environment that identify a training run."""

from pathlib import Path
from typing import Any

import pytest

from resnet.core.errors import UserError
from tasks.training.fingerprint import contents, differences, fingerprint, surroundings


def test_the_fingerprint_does_not_depend_on_the_order_of_the_facts() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert len({fingerprint(facts) for facts in ({}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"})}) == 5


def test_a_fact_that_one_side_lacks_is_a_difference() -> None:
    assert differences({"a": 1, "b": None, "c": 3}, {"a": 1, "c": 4}) == ["b", "c"]


def test_only_variables_that_the_libraries_read_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = surroundings()
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    monkeypatch.setenv("TRAIN_RESNET_EVENTS", "e")
    assert differences(before, surroundings()) == ["environment.TF_ENABLE_ONEDNN_OPTS"]


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="images.npy is missing"):
        contents([tmp_path / "images.npy"], [], tmp_path / "hashes.json")


def test_data_and_code_are_identified_by_their_bytes_and_data_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prepared/training").mkdir(parents=True)
    Path("prepared/training/images.npy").write_bytes(b"abc")
    Path("loop.py").write_bytes(b"abc")
    known = tmp_path / "hashes.json"
    arguments: Any = ([Path("prepared/training")], [Path("loop.py")], known)
    first = contents(*arguments)
    # sha256("abc"): FIPS 180-2, appendix B.1.
    assert set(first.values()) == {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert set(first) == {"data.training/images.npy", "code.loop.py"}
    Path("loop.py").write_bytes(b"abd")
    assert differences(first, contents(*arguments)) == ["code.loop.py"]
    Path("prepared/training/images.npy").write_bytes(b"abd")
    assert differences(first, contents(*arguments)) == ["code.loop.py", "data.training/images.npy"]
    opened: list[str] = []
    real = Path.open

    def noting(self: Path, *options: Any, **more: Any) -> Any:
        opened.append(self.name)
        return real(self, *options, **more)

    monkeypatch.setattr(Path, "open", noting)
    contents(*arguments)
    assert "images.npy" not in opened
    assert "loop.py" in opened


def test_code_in_folders_of_a_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop/kernels").mkdir(parents=True)
    Path("loop/kernels/relu.py").write_text("one")
    first = contents([], [Path("loop")], Path("hashes.json"))
    Path("loop/kernels/relu.py").write_text("two")
    assert differences(first, contents([], [Path("loop")], Path("hashes.json"))) == ["code.loop/kernels/relu.py"]
