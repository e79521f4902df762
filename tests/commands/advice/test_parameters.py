"""The printed commands: a shell, DVC and Prefect read the same values from them."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import to_hydra_overrides

from commands.advice.parameters import changes, dvc_line, prefect_line, with_values
from resnet.core.errors import UserError
from tests.imports import ROOT

TEXT = (ROOT / "params.yaml").read_text("utf-8")
VALUES = {
    "train.flip": True,
    "train.crop": 0.35,
    "train.epochs": 20,
    "train.weight_decay": 1e-05,
    "build.blocks": None,
    "train.restarts": [5, 10],
    "build.variant": "v1.5",
    "ingest.source": "/data/my photos (2)",
    "render.data_name": "it's \\ a 'name', = [x]",
    "render.license": "true",
    "render.data_license": "ends in \\",
    "render.data_citation": "1e5",
}


def parsed(line: str) -> dict[str, Any]:
    """What DVC reads from a command, by its own grammar."""
    words = shlex.split(line)
    assert words[:3] == ["dvc", "exp", "run"]
    assert words[3::2] == ["-S"] * len(words[4::2])
    return {one.key_or_group: one.value() for one in to_hydra_overrides(words[4::2])}


@pytest.mark.parametrize("name", VALUES)
def test_dvc_reads_the_value(name: str) -> None:
    found = parsed(dvc_line({name: VALUES[name]}))[name]
    expected = VALUES[name]
    assert (getattr(found, "text", found), type(found) is bool) == (expected, type(expected) is bool)


def test_dvc_reads_all_values_of_one_line() -> None:
    assert list(parsed(dvc_line(VALUES))) == list(VALUES)
    assert dvc_line({"train.epochs": 3, "train.flip": True}) == "dvc exp run -S train.epochs=3 -S train.flip=true"
    assert dvc_line({}) == "dvc exp run"


def test_prefect_reads_json() -> None:
    words = shlex.split(prefect_line(VALUES))
    assert words[:5] == ["prefect", "deployment", "run", "train-resnet", "-p"]
    assert json.loads(words[5].removeprefix("overrides=")) == VALUES
    assert prefect_line({}) == "prefect deployment run train-resnet --watch"


def test_the_values_are_checked_as_by_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = with_values(TEXT, {"train.epochs": 3, "preprocess.image_size": 64, "seed": 5})
    assert (params.value("train.epochs", int), params.value("preprocess.image_size", int), params.seed) == (3, 64, 5)
    with pytest.raises(UserError, match="^params.yaml: train.batch_size is 2, which cannot be divided"):
        with_values(TEXT, {"train.batch_size": 2, "train.accumulate": 4})
    with pytest.raises(UserError, match="train.epochs"):
        with_values(TEXT, {"train.epochs": 0})
    assert Path("params.yaml").read_text("utf-8") == TEXT


def test_only_what_differs_is_a_change() -> None:
    assert changes({"a.b": 1, "a.c": None, "a.d": True}, {"a.b": 1, "a.c": 0}) == {"a.c": None, "a.d": True}
