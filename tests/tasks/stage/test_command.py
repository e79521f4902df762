"""The command of a stage: which arguments it gives to the function, and its exit codes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from resnet.core.errors import UserError
from tasks.stage import command as stage_module
from tasks.stage.command import bind, main
from tasks.stage.params import Params, Section
from tests.imports import ROOT


class Cook(Section):
    """Parameters of a stage of these tests."""

    salt: float


ENTRY = {"deps": ["data/raw", "tasks/cook.py"], "params": ["cook", "seed", "other.size"], "outs": [{"out/meal.csv": {}}]}


class Other(Section):
    """Parameters of another stage."""

    size: int


PARAMS = Params(7, {"cook": Cook(salt=1.0), "other": Other(size=3)})


def test_keywords_get_what_dvc_yaml_lists() -> None:
    def cook(params: Cook, *, seed: int, size: int, raw: Path, meal_csv: Path) -> None: ...

    assert bind(cook, ENTRY, PARAMS) == {"seed": 7, "size": 3, "raw": Path("data/raw"), "meal_csv": Path("out/meal.csv")}


@pytest.mark.parametrize("kind", [Path, int])
def test_a_keyword_that_dvc_yaml_does_not_list_is_refused(kind: type) -> None:
    def cook(params: Cook, *, secret: Any) -> None: ...

    cook.__annotations__["secret"] = kind
    with pytest.raises(LookupError, match="cook asks for secret, but dvc.yaml does not list it"):
        bind(cook, ENTRY, PARAMS)


@dataclass(frozen=True)
class Bundle:
    """A file and a parameter."""

    raw: Path
    size: int


@dataclass(frozen=True)
class Nested:
    """A bundle with another one."""

    meal_csv: Path
    bundle: Bundle


def test_a_dataclass_bundles_several_keywords() -> None:
    def cook(params: Cook, *, all_of_it: Nested) -> None: ...

    assert bind(cook, ENTRY, PARAMS) == {"all_of_it": Nested(Path("out/meal.csv"), Bundle(Path("data/raw"), 3))}


def test_what_a_bundle_asks_for_must_be_listed() -> None:
    def cook(params: Cook, *, bundle: Bundle) -> None: ...

    with pytest.raises(LookupError, match="cook asks for raw, but dvc.yaml does not list it"):
        bind(cook, {**ENTRY, "deps": []}, PARAMS)


def test_the_code_of_a_stage_can_be_bound() -> None:
    def cook(params: Cook, *, code: tuple[Path, ...]) -> None: ...

    assert bind(cook, ENTRY, PARAMS) == {"code": (Path("tasks/cook.py"),)}


def test_two_paths_with_the_same_name_are_refused() -> None:
    def cook(params: Cook, *, raw: Path) -> None: ...

    entry = {**ENTRY, "deps": ["data/raw", "old/raw"]}
    with pytest.raises(LookupError, match="dvc.yaml lists data/raw and old/raw for one stage, but both are the path raw"):
        bind(cook, entry, PARAMS)
    # An output that another entry of the same stage also lists is one path.
    assert bind(cook, {**ENTRY, "outs": ["data/raw"]}, PARAMS) == {"raw": Path("data/raw")}


def test_two_parameters_with_the_same_name_are_refused() -> None:
    def cook(params: Cook, *, size: int) -> None: ...

    entry = {**ENTRY, "params": ["other.size", "oven.size"]}
    with pytest.raises(LookupError, match="lists other.size and oven.size for one stage, but both are the parameter size"):
        bind(cook, entry, PARAMS)


def test_all_parameters_need_all_of_them_listed() -> None:
    def cook(params: Cook, *, parameters: Params) -> None: ...

    assert bind(cook, {**ENTRY, "params": ["seed", "cook", "other"]}, PARAMS) == {"parameters": PARAMS}
    with pytest.raises(LookupError, match="asks for all parameters, but dvc.yaml does not list other for it"):
        bind(cook, ENTRY, PARAMS)
    with pytest.raises(LookupError, match="does not list cook, seed for it"):
        bind(cook, {**ENTRY, "params": ["other"]}, PARAMS)


def test_a_whole_section_can_be_bound() -> None:
    def cook(params: Cook, *, other: Other) -> None: ...

    assert bind(cook, {**ENTRY, "params": ["other"]}, PARAMS) == {"other": Other(size=3)}


def test_a_user_error_is_one_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tasks.train"])
    assert main("train") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("train: there is no dvc.yaml in ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UserError("the disk is full"), "the disk is full"),
        (UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "invalid continuation byte"), "UnicodeDecodeError: 'utf-8' codec can't"),
    ],
)
def test_a_record_that_cannot_be_written_does_not_fail_the_stage(
    error: Exception, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["tasks.ingest"])
    monkeypatch.setattr(stage_module, "record", fail)
    monkeypatch.setattr(stage_module, "bind", lambda *_: {"raw": tmp_path / "raw", "decisions_csv": Path("data/decisions.csv")})
    assert main("ingest") == 0
    assert (tmp_path / "raw" / "manifest.csv").exists()
    assert capsys.readouterr().err.startswith(f"ingest: done, but not recorded in reports/run.json: {why}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_each_signal_has_its_exit_code(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(path: Path) -> Any:
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.signal(number, signal.default_int_handler)  # the tests may run under `nohup`
    try:
        monkeypatch.setattr(sys, "argv", ["tasks.train"])
        monkeypatch.setattr(stage_module, "read_graph", interrupted)
        assert main("train") == code
        assert capsys.readouterr().err == f"train: ended by {number.name}\n"
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["tasks.train"])
    monkeypatch.setattr(stage_module, "read_graph", broken)
    with pytest.raises(ZeroDivisionError):
        main("train")


@pytest.mark.parametrize("name", ["preprocess", "build", "train", "evaluate", "render"])
def test_a_stage_without_its_inputs_says_which_is_missing(name: str, make_project: Callable[[], Any]) -> None:
    result = make_project().run("python", "-m", f"tasks.{name}", code=1)
    assert re.fullmatch(
        rf"{name}: (data|reports)/\S+ is missing; an earlier stage writes it: run `dvc repro`\.\n", result.stderr
    )
    assert result.stdout == ""


def test_a_stage_has_a_help_text() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tasks.train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Trains the network on the training split" in result.stdout


@pytest.mark.parametrize("module", ["tasks.ingest", "commands"])
def test_names_of_files_must_be_utf8(module: str) -> None:
    # Without Python's own correction, the C locale of a minimal system makes file names ASCII.
    ascii_names = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", module, *["check"] * (module == "commands")]
    result = subprocess.run(command, cwd=ROOT, env=os.environ | ascii_names, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.partition(": ")[2] == (
        "names of files would be read as ascii, but UTF-8 is expected: run `export LC_ALL=C.UTF-8`.\n"
    )


def test_a_terminal_that_is_not_utf8_gets_every_message() -> None:
    program = "from tasks.stage.command import require_utf8; require_utf8(); print('caf\\xe9 \\u732b \\udce9')"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert result.stdout == b"caf\xe9 \\u732b \\udce9\n"


def test_the_code_of_another_folder_is_refused(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "tasks/stage/command.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['train']\n"
        "from tasks.stage.command import main; sys.exit(main('train'))"
    )
    command = [sys.executable, "-P", "-c", program]  # -P is what PYTHONSAFEPATH sets
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert re.fullmatch(r"train: this stage would run the code of .*: unset PYTHONSAFEPATH, .*\n", result.stderr)
