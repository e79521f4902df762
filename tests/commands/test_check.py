"""What is looked at before anything runs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.check import check_source, check_weights
from resnet.core.errors import UserError
from tasks.stage.graph import read_graph
from tests.imports import ROOT
from tests.pictures import two_classes


def test_what_dvc_can_watch_passes(tmp_path: Path) -> None:
    tree = two_classes(tmp_path / "tree", each=2)
    (tree / "cat" / "new\nline").touch()
    (tree / "cat" / "link").symlink_to("../dog")
    check_source(str(tree))
    check_source(str(tree / "cat" / "0.png"))


@pytest.mark.parametrize(
    ("source", "advice"), [("nowhere", "mend the path"), ("tfds:dtd", "run `train-resnet fetch tfds:dtd`")]
)
def test_a_source_that_is_not_there_is_named(source: str, advice: str) -> None:
    with pytest.raises(UserError, match=f"ingest.source is {source}, but there is no such file or folder in .*: {advice}"):
        check_source(source)


def bind(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, r"x cannot be read by DVC.*\(a FIFO, a socket or a device\): take it out, or pack the folder into a \.tar"),
        (bind, r"x cannot be read by DVC.*\(a FIFO, a socket or a device\)"),
        (lambda path: path.symlink_to("nowhere"), r"x cannot be read by DVC.*\(No such file or directory\)"),
        (lambda path: path.symlink_to("x"), r"x cannot be read by DVC.*\(Too many levels of symbolic links\)"),
        (lambda path: Path(os.fsdecode(os.fsencode(path) + b"\xff")).touch(), r"x\\xff cannot be read by DVC.*not UTF-8"),
    ],
)
def test_what_dvc_cannot_read_is_named(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    tree = two_classes(tmp_path / "tree", each=2)
    make(tree / "dog" / "x")
    with pytest.raises(UserError, match=why):
        check_source(str(tree))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("nowhere.keras", r"build\.weights is nowhere\.keras, but there is no such file in .*: mend the path"),
        ("models/resnet.keras", r"build\.weights is models/resnet\.keras, which this pipeline makes itself: copy it"),
    ],
)
def test_weights_that_dvc_cannot_watch_are_named(weights: str, sentence: str) -> None:
    graph = read_graph(ROOT / "dvc.yaml")
    with pytest.raises(UserError, match=sentence):
        check_weights(weights, graph)
    for stands_for_itself in ("builtin/random", "builtin/imagenet"):
        check_weights(str(ROOT / stands_for_itself), graph)


def test_the_command_checks_parameters_and_source(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text("utf-8")
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "commands.check"]
    for source, code in [("builtin/digits", 0), ("nowhere", 1)]:
        for name in ("builtin/digits", "builtin/random"):
            (tmp_path / name).touch()
        (tmp_path / "params.yaml").write_text(text.replace("source: builtin/digits", f"source: {source}"), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == code
        assert ("no such file or folder" in result.stderr) == bool(code)
        assert "Traceback" not in result.stderr
