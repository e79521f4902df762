"""The program `train-resnet`: it registers the commands, and turns the ways in which they end into exit codes."""

import errno
import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from commands.environment import correct_environment
from resnet.core.errors import UserError, printable
from resnet.network.huge_pages import use_huge_pages
from tasks.stage.command import require_utf8
from tasks.stage.graph import DVC_YAML

NAME = "train-resnet"
# A command is the function `commands.NAME.NAME`. It returns its exit code, or None for 0.
PANELS = {
    "Data": ("check", "look", "fetch", "decide"),
    "Training": ("advise", "live", "board"),
    "Results": ("compare", "gate", "why"),
    "Model": ("predict", "export", "publish"),
    "Upkeep": ("doctor", "checkpoints", "verify", "repair"),
}
_ANYWHERE = ("fetch", "predict", "repair")  # the others need a project in the current folder
_HELP = "Commands around the pipeline in the current folder; `predict --model FILE` works in any folder."
_EPILOG = """Not part of train-resnet:

dvc repro                      run the stages that are not up to date
dvc exp run -S train.epochs=3  run an experiment with other parameters
python -m flows.train_resnet   run the pipeline as a Prefect flow
python -m flows.serve          serve the flow to Prefect's UI and schedules
python -m flows.sweep          train for every combination of a grid
python -m flows.search         search parameters with Optuna
python -m flows.audit          find wrong labels by cross-validation"""


# The errors of the operating system that a person can correct.
_CORRECTABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT}


class _Flags:
    """Part of a command whose help shows no type for options without a value; Typer would show `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, `--help` among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class _Command(_Flags, TyperCommand):
    pass


class _Group(_Flags, TyperGroup):
    pass


def main() -> None:
    """The entry point: runs the command that `sys.argv` names and exits with its code."""
    correct_environment()
    if sys.argv[1:2] in (["predict"], ["advise"]):
        use_huge_pages()  # before the commands are imported, because it starts the process again
    try:
        application()(prog_name=NAME)
    except KeyboardInterrupt:  # while the commands are imported; later `reporting` names the command
        print(f"{NAME}: interrupted", file=sys.stderr)
        sys.exit(130)


def application() -> typer.Typer:
    """The Typer application with every command."""
    app = typer.Typer(
        cls=_Group,
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for panel, names in PANELS.items():
        for name in names:
            module = importlib.import_module(f"commands.{name}")
            command = app.command(name, cls=_Command, help=_unwrapped(module.__doc__ or ""), rich_help_panel=panel)
            command(reporting(name, getattr(module, name)))
    return app


def reporting(name: str, work: Callable[..., int | None]) -> Callable[..., None]:
    """Makes a command of a function: it exits with the code that the function returns, and reports how else it ends.

    A `UserError`, or a file that cannot be used, is one line on standard error and exit code 1; Ctrl-C is exit code 130. A
    reader that closes the pipe, such as `head`, ends the command without a message.

    Args:
        name: of the command, which begins the line.
        work: the function; its parameters become the options.
    """

    @functools.wraps(work)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            require_utf8()
            if name not in _ANYWHERE and not DVC_YAML.exists():
                raise UserError(f"there is no {DVC_YAML} in {Path.cwd()}: run `{NAME} {name}` in a project's folder.")
            code = work(*arguments, **options) or 0
            if sys.stdout:  # None where it was closed before the start
                sys.stdout.flush()
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            print(f"{name}: interrupted", file=sys.stderr)
            code = 130
        except BrokenPipeError:
            # Python flushes standard output once more when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except OSError as error:
            if error.errno not in _CORRECTABLE or not error.filename:
                raise
            print(
                f"{name}: {printable(str(error.filename))}: {error.strerror}; correct it or name another path.", file=sys.stderr
            )
            code = 1
        raise typer.Exit(code)

    return command


def _print_version(asked: bool) -> None:
    if asked:
        print(NAME, version(NAME))
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the program itself."""


def _unwrapped(docstring: str) -> str:
    """A docstring with one line for each paragraph, for a terminal of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(docstring).split("\n\n"))
