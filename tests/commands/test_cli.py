"""The program `train-resnet`: its help, its exit codes, and where it finds its code."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from commands.cli import PANELS, application, main, reporting
from resnet.core.errors import UserError
from tests.imports import HEAVY, ROOT

NAMES = [
    *("check", "look", "fetch", "decide", "advise", "live", "board", "compare", "gate", "why", "predict", "export", "publish"),
    *("doctor", "checkpoints", "verify", "repair"),
]
NEED_A_PROJECT = [
    ["check"],
    ["look"],
    ["advise"],
    ["live"],
    ["board"],
    ["compare", "HEAD"],
    ["gate"],
    ["why"],
    ["export", "--to", "onnx"],
    ["publish", "folder"],
    ["checkpoints"],
    ["verify"],
]


FLOWS = ("train_resnet", "serve", "sweep", "search", "audit")


def run(work: Callable[[], int | None], name: str = "doctor") -> Result:
    app = typer.Typer()
    app.command()(reporting(name, work))
    return CliRunner().invoke(app, [])


def ends_in(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_help_lists_every_command_in_its_group_and_what_is_elsewhere(train_resnet: Callable[..., Result]) -> None:
    shown = train_resnet("--help").stdout
    assert [name for names in PANELS.values() for name in names] == NAMES
    listed = [line.split()[1] for line in shown.splitlines() if line.startswith("\u2502 ") and line[2].isalpha()]
    assert listed == NAMES
    for words in (
        *PANELS,
        "dvc repro",
        *(f"python -m flows.{flow}" for flow in FLOWS),
    ):
        assert words in shown


def test_stages_are_no_commands(train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("train")
    assert result.exit_code == 2
    assert "No such command 'train'" in result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str, train_resnet: Callable[..., Result]) -> None:
    for option in ("--help", "-h"):
        result = train_resnet(name, option)
        assert result.exit_code == 0
        assert f"train-resnet {name}" in result.stdout


def test_a_user_error_is_one_line_and_exit_code_1() -> None:
    result = run(ends_in(UserError("no disk: buy one.")))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "doctor: no disk: buy one.\n")


def test_ctrl_c_is_exit_code_130() -> None:
    result = run(ends_in(KeyboardInterrupt()))
    assert (result.exit_code, result.stderr) == (130, "doctor: interrupted\n")


def test_the_number_that_a_function_returns_is_the_exit_code() -> None:
    assert [run(lambda code=code: code).exit_code for code in (None, 0, 1, 3)] == [0, 0, 1, 3]  # type: ignore[misc]


def test_other_errors_are_bugs_and_keep_their_traceback() -> None:
    assert isinstance(run(ends_in(ZeroDivisionError())).exception, ZeroDivisionError)


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(lambda: (tmp_path / "file" / "x").write_bytes(b""))
    expected = f"doctor: {tmp_path}/file/x: Not a directory; correct it or name another path.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", expected)
    assert isinstance(run(lambda: (tmp_path / "none").stat().st_size).exception, FileNotFoundError)  # may be a bug


def test_help_shows_no_type_for_flags(train_resnet: Callable[..., Result]) -> None:
    for arguments in (["--help"], *([name, "--help"] for name in NAMES)):
        assert "bool" not in train_resnet(*arguments).stdout, arguments


def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(tmp_path: Path) -> None:
    program = (
        "import sys, typer; from commands.cli import reporting\n"
        "def work() -> None:\n for number in range(100_000): print(number)\n"
        "app = typer.Typer(); app.command()(reporting('repair', work)); app()"
    )
    command = f'{sys.executable} -c "$PROGRAM" | head -n 1; exit ${{PIPESTATUS[0]}}'
    environment = {**os.environ, "PROGRAM": program, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "0\n", "")


@pytest.mark.parametrize("arguments", NEED_A_PROJECT, ids=lambda arguments: arguments[0])
def test_outside_of_a_project_it_says_so(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train_resnet(*arguments)
    expected = f"{arguments[0]}: there is no dvc.yaml in {tmp_path}: run `train-resnet {arguments[0]}` in a project's folder.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["predict", "x.png"], "name a model with --model FILE"), (["fetch", "dtd"], "dtd need not be fetched")],
)
def test_predict_and_fetch_need_no_project(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train_resnet(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"{arguments[0]}: ")
    assert words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frist"], "No such command 'frist'"),
        (["predict"], "Missing argument"),
        (["predict", "x", "--top", "0"], "greater than or equal to 1"),
        (["predict", "x", "--csv", "--json"], "exclude each other"),
        (["predict", "x", "--model", "no.keras"], "does not exist"),
        (["gate", "--minimum-accuracy", "0"], "must be above 0 and at most 1, but it is 0"),
        (["gate", "--minimum-accuracy", "1.1"], "must be above 0 and at most 1, but it is 1.1"),
        (["publish", "folder", "--to", "onyx"], "'onyx' is not one of savedmodel, onnx, litert, keras"),
        (["export", "--to", "onnx,onyx"], "'onyx' is not one of savedmodel, onnx, litert, keras"),
    ],
)
def test_a_usage_error_is_exit_code_2(arguments: list[str], words: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(application(), arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_help_imports_nothing_heavy() -> None:
    look = f"print([name for name in {[*HEAVY, 'numpy']} if name in sys.modules])"
    program = f"import sys; from commands.cli import application; application(); {look}"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_version(train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("--version").stdout == "train-resnet 0.1.0\n"


def test_make_setup_installs_the_program() -> None:
    (script,) = entry_points(group="console_scripts", name="train-resnet")
    assert script.load() is main


def test_the_code_of_the_current_folder_comes_before_the_installed_code(tmp_path: Path) -> None:
    for package in ("commands", "flows", "tasks"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "probe.py").write_text("print(__file__)")
        command = [sys.executable, "-m", f"{package}.probe"]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert shown.strip() == str(tmp_path / package / "probe.py")


def test_predict_starts_again_with_huge_pages_and_keeps_its_arguments(tmp_path: Path) -> None:
    program = tmp_path / "train-resnet"
    program.write_text(
        "import os, sys\nfrom commands import cli\n"
        "cli.application = lambda: lambda prog_name: print(prog_name, sys.argv[1:], os.environ.get('GLIBC_TUNABLES'))\n"
        "cli.main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | {"PYTHONPATH": str(ROOT)}
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    asked = "glibc.malloc.hugetlb=1" if pages.exists() and "[madvise]" in pages.read_text("utf-8") else None
    for arguments, expected in ((["predict", "a b.png", "--top", "2"], asked), (["check"], None)):
        command = [sys.executable, str(program), *arguments]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout == f"train-resnet {arguments} {expected}\n"


def test_an_interruption_while_the_commands_are_imported_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("commands.cli.correct_environment", lambda: None)
    monkeypatch.setattr("commands.cli.application", ends_in(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["train-resnet", "doctor"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert (ended.value.code, capsys.readouterr().err) == (130, "train-resnet: interrupted\n")
