"""TensorBoard over all runs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.imports import ROOT

WRITE = """
import sys
from pathlib import Path
from tasks.training.event_file import EventFile
from tasks.training.seen import RECORD, make_folder
folder = make_folder("0123456789abcdef", "depth=18")
(folder / RECORD).touch()
figures = {"loss": 0.5, "accuracy": 0.5, "learning_rate": 0.1, "images_per_second": 9.0}
EventFile(folder).point({"event": "step", "time": 1.0, "epoch": 2, "step": 3, **figures}, 9)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the curves of a run."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    subprocess.run([sys.executable, "-c", WRITE], check=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return folder


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_curves_on_this_machine_until_a_signal(project: Path, written: Path, number: signal.Signals) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shutil.copytree(written / "live", project / "live")
    as_by_script = ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh"]  # ignores SIGINT, as after & in a script
    command = [*as_by_script, sys.executable, "-u", "-m", "commands", "board"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        shown = re.fullmatch(r"board: (http://127\.0\.0\.1:\d+/) shows 1 run of live/, and new ones .*; Ctrl-C ends it\n", line)
        try:
            assert shown, line
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            query = "data/plugin/scalars/scalars?run=depth%3D18-01234567&tag=step/loss"
            assert json.load(opener.open(f"{shown[1]}{query}")) == [[1.0, 12, 0.5]]
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not end must not hold up the tests
        assert (said, process.returncode) == ("board: ended\n", 0)


def test_without_tensorboard_it_names_the_command_that_installs_it(
    train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.board.find_spec", lambda name: None)
    result = train_resnet("board")
    assert (result.exit_code, result.stderr) == (
        1,
        "board: TensorBoard is not installed: run pip install 'train-resnet[board]', or pip install -e '.[board]' in this "
        "folder.\n",
    )


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "commands", "board", "--port", str(port)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"TensorBoard cannot serve at port {port}" in result.stderr
    assert result.stderr.endswith("name another one with --port.\n")
