"""`train-resnet advise`: from images to a command."""

import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.hydra import to_hydra_overrides
from typer.testing import Result

from commands.advice.data_facts import DataFacts
from commands.advice.forecast import Forecast, Timing
from commands.advice.mirror import MirrorTest
from commands.advice.plan import Plan
from commands.advice.rules import Choice, Network
from commands.advise import Advice
from flows.overrides import check_overrides
from resnet.core.errors import UserError
from tasks.stage.graph import read_graph
from tests.commands.advice.test_data_facts import write
from tests.imports import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose images are there, with a network of two blocks."""
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "params.yaml"):
        Path(name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    text = Path("params.yaml").read_text("utf-8")
    for name, value in (("blocks: null", "blocks: [1, 1]"), ("width: 64", "width: 4"), ("builtin/digits", "photos")):
        assert name in text
        text = text.replace(name, value, 1)
    Path("params.yaml").write_text(text, "utf-8")
    Path("data").mkdir()
    monkeypatch.setattr("commands.advise.ingest_up_to_date", lambda: False)
    return tmp_path


def test_from_images_to_a_command(folder: Path, train_resnet: Callable[..., Result]) -> None:
    write(Path("data/raw"), size=(100, 90))
    result = train_resnet("advise", "--minutes", "600", "--json")
    assert result.exit_code == 0
    tree = json.loads(result.stdout)
    assert 0 < tree["minutes"] <= 600
    assert tree["data"]["short_side"] == 90
    assert tree["parameters"]["preprocess.image_size"]["value"] == 64
    given = {one.key_or_group: one.value() for one in to_hydra_overrides(shlex.split(tree["command"])[4::2])}
    assert given["preprocess.image_size"] == 64
    assert given["train.epochs"] == tree["parameters"]["train.epochs"]["value"]
    assert [timing["size"] for timing in tree["timings"]] == [64]


def advice(folder: Path, *, epochs: int = 20) -> Advice:
    data = DataFacts("photos", (300, 30, 60), 3, 90, 110, 400, MirrorTest(300, 200, 195, [], True))
    choices = [
        Choice("train.epochs", 20, "as many as fit"),
        Choice("train.flip", True, "mirror images look alike"),
        Choice("build.depth", 50, "as in the README"),
        Choice("train.crop", 1.0, "a part may mean something else: not measured", measured=False),
        Choice("train.balance", "none", "not measured", measured=False),
    ]
    forecast = Forecast(preprocess=6.0, build=5.0, train=540.0, evaluate=30.0, render=3.0, dvc=16.0)
    timings = {Network(50, "large", 64): Timing(4.0, 2.0, 6.0, 0.2, 0.002)}
    return Advice(Path("params.yaml").read_text("utf-8"), data, Plan(choices, forecast, epochs, timings))


def test_the_text_has_the_command_the_time_and_a_reason_for_each_value(folder: Path) -> None:
    lines = advice(folder).text().splitlines()
    assert lines == [
        "dvc exp run -S train.epochs=20 -S train.flip=true",
        "    about 10 minutes: preprocess 0.1, train 9.0, the rest 0.9",
        "    train.epochs = 20: as many as fit",
        "    train.flip = true: mirror images look alike",
        "    build.depth = 50 (as it is): as in the README",
        "    train.crop = 1.0 (as it is): a part may mean something else: not measured",
        "with Prefect, from the last commit:",
        """prefect deployment run train-resnet -p overrides='{"train.epochs": 20, "train.flip": true}' --watch""",
    ]


def test_the_line_for_prefect_has_what_differs_from_the_last_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    then = (ROOT / "params.yaml").read_text("utf-8")
    monkeypatch.setattr("commands.advice.parameters.git_or_none", lambda *_: then)
    assert advice(folder).command == "dvc exp run -S ingest.source=photos -S train.epochs=20 -S train.flip=true"
    words = shlex.split(advice(folder).prefect)
    assert json.loads(words[5].removeprefix("overrides=")) == {
        "ingest.source": "photos",
        "build.blocks": [1, 1],
        "build.width": 4,
        "train.epochs": 20,
        "train.flip": True,
    }


def test_the_flow_takes_what_the_line_for_prefect_gives_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    then = (ROOT / "params.yaml").read_text("utf-8")
    monkeypatch.setattr("commands.advice.parameters.git_or_none", lambda *_: then)
    overrides = json.loads(shlex.split(advice(folder).prefect)[5].removeprefix("overrides="))
    check_overrides(then, overrides, read_graph(Path("dvc.yaml")))
    with pytest.raises(UserError, match=r"train\.epochs"):
        check_overrides(then, overrides | {"train.epochs": 0}, read_graph(Path("dvc.yaml")))


def test_too_little_time_names_the_smallest_run(
    folder: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Path("data/raw"), size=(100, 90))
    plan = advice(folder, epochs=0)._plan
    monkeypatch.setattr("commands.advise._measured_plan", lambda *_: plan)
    result = train_resnet("advise", "--minutes", "0.5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "advise: --minutes is 0.5, which is too few for one epoch: the smallest run that makes sense takes about 10 minutes, "
        "dvc exp run -S train.epochs=20 -S train.flip=true"
    )


@pytest.mark.parametrize(("minutes", "code"), [("0", 1), ("-5", 1), ("nan", 1), ("inf", 1), ("1e308", 1), ("soon", 2)])
def test_a_time_that_is_none_is_refused(folder: Path, train_resnet: Callable[..., Result], minutes: str, code: int) -> None:
    result = train_resnet("advise", f"--minutes={minutes}")
    assert result.exit_code == code
    assert "minutes" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_images_it_says_what_makes_them(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("advise")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("advise: data/raw/classes.json is missing")


def test_a_failure_after_ingest_takes_the_source_back(folder: Path, train_resnet: Callable[..., Result]) -> None:
    before = Path("params.yaml").read_bytes()
    write(Path("others"), images=4)
    result = train_resnet("advise", "others")  # there is no data/raw
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_takes_the_source_back(
    folder: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    before = Path("params.yaml").read_bytes()
    named_then: list[bool] = []

    def ended() -> None:
        named_then.append(Path("params.yaml").read_bytes() != before)
        os.kill(os.getpid(), number)

    monkeypatch.setattr("commands.advise.ingest_up_to_date", ended)
    write(Path("others"), images=4)
    result = train_resnet("advise", "others")
    assert (result.exit_code, result.stderr) == (code, f"advise: ended by {number.name}\n")
    assert named_then == [True]
    assert Path("params.yaml").read_bytes() == before


def test_too_little_time_for_another_source_names_it_in_the_command(
    folder: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Path("data/raw"), size=(100, 90))
    write(Path("others"), images=4)
    before = Path("params.yaml").read_bytes()
    plan = advice(folder, epochs=0)._plan
    monkeypatch.setattr("commands.advise._measured_plan", lambda *_: plan)
    result = train_resnet("advise", "others", "--minutes", "0.5")
    assert result.stderr.endswith("dvc exp run -S ingest.source=others -S train.epochs=20 -S train.flip=true\n")
    assert Path("params.yaml").read_bytes() == before
