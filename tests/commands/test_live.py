"""The list of the runs that can be seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tasks.training.events import Events
from tasks.training.runs import claimed, home
from tasks.training.seen import PAGE, RECORD, make_folder
from tests.imports import ROOT

ROW = {"event": "epoch", "time": 2.0, "epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.625}
FIGURES = {"learning_rate": 0.1, "seconds": 1.0, "images_per_second": 9.0}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    return tmp_path


def begin(run: str, name: str, epochs: int = 3) -> Events:
    """A run of some epochs that has done one."""
    events = Events(make_folder(run, name) / RECORD)
    events.start(run=run, epochs=epochs, steps=9, epoch=1, step=0, name=name, about={}, precision="float32", devices=["CPU"])
    events.add(ROW | FIGURES)
    return events


def test_it_says_how_each_run_is_doing(train_resnet: Callable[..., Result]) -> None:
    begin("aaaaaaaaaaaaaaaa", "running")
    with begin("bbbbbbbbbbbbbbbb", "done"):
        pass
    begin("cccccccccccccccc", "dead", epochs=1)
    with claimed(home() / "aaaaaaaaaaaaaaaa"):
        lines = train_resnet("live").stdout.splitlines()
    states = {line.split()[0]: line.split("  ")[2] for line in lines[::2]}
    assert states == {
        "running-aaaaaaaa": "training, 1 of 3 epochs, val_accuracy 0.6250",
        "done-bbbbbbbb": "finished, 1 of 3 epochs, val_accuracy 0.6250",
        "dead-cccccccc": "killed, 1 of 1 epoch, val_accuracy 0.6250",
    }
    assert {line.strip() for line in lines[1::2]} == {(Path("live") / name / PAGE).absolute().as_uri() for name in states}


def test_the_page_of_a_killed_run_no_longer_loads_itself_again(train_resnet: Callable[..., Result]) -> None:
    begin("cccccccccccccccc", "dead")
    page = Path("live/dead-cccccccc") / PAGE
    page.write_text('<meta http-equiv="refresh" content="5">')
    train_resnet("live")
    shown = page.read_text("utf-8")
    assert "Training killed" in shown
    assert "refresh" not in shown


def test_it_opens_the_last_one(train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    train_resnet("live", "--open")
    assert opened == []
    with begin("bbbbbbbbbbbbbbbb", "done"):
        pass
    train_resnet("live", "--open")
    assert opened == [(Path("live/done-bbbbbbbb") / PAGE).absolute().as_uri()]


def test_without_runs_it_says_where_they_will_be(train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("live").stdout == "live: there is no run in live/ yet; training makes a page there\n"


def test_a_run_that_is_trained_is_not_taken_for_killed_whatever_its_record_says(train_resnet: Callable[..., Result]) -> None:
    """A full disk may have cost the event `start`, or left the record of the process before."""
    folder = make_folder("aaaaaaaaaaaaaaaa", "no-start")
    Events(folder / RECORD).add(ROW | FIGURES)
    (folder / PAGE).write_text("of training")
    with begin("bbbbbbbbbbbbbbbb", "old"):
        pass
    with claimed(home() / "aaaaaaaaaaaaaaaa"), claimed(home() / "bbbbbbbbbbbbbbbb"):
        lines = train_resnet("live").stdout.splitlines()
    assert {line.split()[0]: line.split("  ")[2].split(",")[0] for line in lines[::2]} == {
        "no-start-aaaaaaaa": "training",
        "old-bbbbbbbb": "training",
    }
    train_resnet("live")
    assert (folder / PAGE).read_text() == "of training"


def test_the_list_is_there_although_the_disk_is_full(
    train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")  # without the name of a file

    begin("cccccccccccccccc", "dead")
    monkeypatch.setattr(Path, "write_text", full)
    result = train_resnet("live")
    assert result.exit_code == 0
    assert result.stdout.startswith("dead-cccccccc  ")
    assert result.stderr == (
        "live: the page of dead-cccccccc cannot be corrected (No space left on device): it may look as before the kill\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "step", "time": 3, "epoch": 2, "step": 1}',
        '{"event": "epoch", "time": 3, "epoch": 2}',
        '{"event": "epoch", "time": 3, "epoch": Infinity}',
        '{"event": "start", "time": 3, "epoch": 1, "step": 0, "epochs": "x", "steps": 9}',
        '{"event": "start", "time": 3, "epoch": 1, "step": 0, "epochs": 3, "steps": 9, "about": "<b>"}',
        '{"event": "end", "time": 1e30, "outcome": "finished"}',
    ],
)
def test_an_odd_record_does_not_hide_the_others(train_resnet: Callable[..., Result], line: str) -> None:
    begin("cccccccccccccccc", "dead")
    begin("1234567812345678", "zz")
    with (Path("live/zz-12345678") / RECORD).open("a") as file:
        file.write(f"{line}\n")
    result = train_resnet("live")
    assert result.exit_code == 0
    assert [line.split("  ")[2] for line in result.stdout.splitlines()[::2]] == [
        "killed, 1 of 3 epochs, val_accuracy 0.6250"
    ] * 2


def test_an_outcome_cannot_control_the_terminal(train_resnet: Callable[..., Result]) -> None:
    begin("1234567812345678", "zz")
    with (Path("live/zz-12345678") / RECORD).open("a") as file:
        file.write('{"event": "end", "time": 3, "outcome": "\\u001b[31mred"}\n')
    assert "  \\x1b[31mred, 1 of 3" in train_resnet("live").stdout


@pytest.mark.parametrize("command", ["live", "board"])
def test_a_file_in_the_place_of_the_folder_is_named(train_resnet: Callable[..., Result], command: str) -> None:
    Path("live").touch()
    result = train_resnet(command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{command}: live is no folder, but training makes a folder of this name for its pages: move or rename it.\n"
    )
