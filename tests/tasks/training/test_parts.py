"""Which number of parts `train.accumulate: auto` comes to. The trial itself is in `tests/resnet/training/test_parts.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
from tasks.train import Train
from tasks.training.fingerprint import Facts
from tasks.training.parts import parts_that_fit, remember_parts
from tasks.training.runs import begun, home
from tests.tasks.test_train import VALUES

PARAMS = Train(**(VALUES | {"accumulate": "auto", "epochs": 4}))
FACTS: Facts = {"train.epochs": 4, "train.restarts": [], "train.accumulate": "auto", "machine.devices": ["H100"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def found(monkeypatch: pytest.MonkeyPatch, fitting: int, params: Train = PARAMS, facts: Facts = FACTS) -> int:
    """The number on a machine on which steps fit with this number of parts and with more."""

    def find_parts(trainer: object, splits: object, batch_size: int, first: int) -> int:
        return first if first >= fitting else find_parts(trainer, splits, batch_size, 2 * first)

    monkeypatch.setattr("resnet.training.parts.find_parts", find_parts)
    none: Any = None
    return parts_that_fit(none, none, params, facts)


def ran(parts: int, facts: Facts = FACTS, *, checkpoint: bool = True) -> None:
    with begun(home(), facts | {"train.accumulate": parts}) as run:
        if checkpoint:
            write_checkpoint(run.folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": 2, "step": 0}))


@pytest.mark.parametrize(
    ("fitting", "why"), [(1, "1: the largest step fits into memory"), (4, "4: in fewer parts the largest")]
)
def test_a_new_run_has_the_fewest_parts(
    fitting: int, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(8, checkpoint=False)  # it can go on from nowhere
    ran(16, FACTS | {"machine.devices": ["T4"]})  # on another machine
    assert found(monkeypatch, fitting) == fitting
    assert f"train: train.accumulate is {why}" in "".join(capsys.readouterr())


def test_an_interrupted_run_keeps_the_number_it_began_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(2)
    assert found(monkeypatch, fitting=1) == 2
    assert "train: train.accumulate is 2: as it was when this run began" in "".join(capsys.readouterr())


def test_a_number_that_does_not_fit_any_more_makes_another_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(2)
    assert found(monkeypatch, fitting=4) == 4
    line = (
        "train: train.accumulate is 4: 2, which it was when this run began, does not fit into memory any more, so another run "
        "begins"
    )
    assert line in "".join(capsys.readouterr())


def test_a_longer_run_has_the_number_of_the_one_that_it_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(2)
    longer = PARAMS.model_copy(update={"epochs": 9, "restarts": [4]})
    facts = FACTS | {"train.epochs": 9, "train.restarts": [4]}
    assert found(monkeypatch, 1, longer, facts) == 2
    ran(4, facts)
    assert found(monkeypatch, 1, longer, facts) == 4  # its own, once it has begun


def test_a_finished_run_is_repeated_with_its_number_although_its_checkpoints_are_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home().mkdir(parents=True)
    remember_parts(FACTS | {"train.accumulate": 8})
    remember_parts(FACTS | {"train.accumulate": 2})  # the last one counts
    remember_parts(FACTS | {"train.accumulate": 16, "machine.devices": ["T4"]})
    ran(4)  # somebody has tried this number since
    assert found(monkeypatch, fitting=1) == 2
    assert "train: train.accumulate is 2: as it was when this run was finished before" in "".join(capsys.readouterr())
    assert found(monkeypatch, fitting=3) == 4
    line = "is 4: 2, which it was when this run was finished before, does not fit into memory any more, so another run begins"
    assert line in "".join(capsys.readouterr())


def test_a_longer_run_has_the_number_of_the_finished_one_that_it_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home().mkdir(parents=True)
    remember_parts(FACTS | {"train.accumulate": 2})
    longer = PARAMS.model_copy(update={"epochs": 9, "restarts": [4]})
    facts = FACTS | {"train.epochs": 9, "train.restarts": [4]}
    assert found(monkeypatch, 1, longer, facts) == 2
    assert "is 2: as it was when the run that it continues was finished" in "".join(capsys.readouterr())
    remember_parts(facts | {"train.accumulate": 4})
    assert found(monkeypatch, 1, longer, facts) == 4


@pytest.mark.parametrize("content", ["", "[2]", '{"a": "b"}', "{", '{"a": [1]}', '{"a": Infinity}', "[" * 100_000])
def test_a_damaged_record_of_numbers_is_replaced(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home().mkdir(parents=True)
    (home() / "parts.json").write_text(content, "utf-8")
    assert found(monkeypatch, fitting=1) == 1
    remember_parts(FACTS | {"train.accumulate": 2})
    assert found(monkeypatch, fitting=1) == 2
    assert [path.name for path in home().iterdir()] == ["parts.json"]


def test_the_record_of_numbers_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.training.parts._MOST_KEPT", 2)
    home().mkdir(parents=True)
    for seed in range(3):
        remember_parts(FACTS | {"seed": seed, "train.accumulate": 2})
    assert [found(monkeypatch, 1, facts=FACTS | {"seed": seed}) for seed in range(3)] == [1, 2, 2]
