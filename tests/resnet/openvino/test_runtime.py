"""OpenVINO is optional, and reports nothing about its use."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.openvino.runtime import is_installed, require_installed
from tests.imports import ROOT

PROGRAM = """
import socket, sys
def refuse(*_): raise AssertionError("the network is used")
socket.socket.connect = socket.getaddrinfo = refuse
from resnet.openvino.runtime import import_nncf, import_openvino
import_openvino(), import_nncf()
from nncf.telemetry.wrapper import telemetry
print(type(telemetry).__name__, sys.modules["openvino_telemetry"], *sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


def test_nothing_is_sent_and_nothing_is_written_into_the_home_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["MagicMock", "None"]
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_installed_names_the_extra() -> None:
    assert is_installed()
    assert not is_installed("no_such_package")
    with pytest.raises(UserError, match=r"^no_such_package is not installed: run pip install 'train-resnet\[openvino\]', or "):
        require_installed("no_such_package")


def test_a_folder_without_code_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An uninstallation that leaves files behind leaves such a folder."""
    (tmp_path / "left_behind").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("left_behind")
