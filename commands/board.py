"""Show the learning curves of all runs in TensorBoard, also while they are trained.

It needs the extra `board` and serves this machine only, until Ctrl-C.
"""

import logging
import signal
import threading
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from resnet.core.errors import UserError
from resnet.core.words import counted

_HOST = "127.0.0.1"


def board(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to serve at; by default a free one, from 6006 on.")
    ] = None,
) -> None:
    """Serves TensorBoard until Ctrl-C.

    Raises:
        UserError: TensorBoard is not installed, the port is in use, or something else is in the place of the runs' folder.
    """
    from tasks.training.seen import folders, live, require_folder

    require_folder()
    if find_spec("tensorboard") is None:
        raise UserError(
            "TensorBoard is not installed: run pip install 'train-resnet[board]', or pip install -e '.[board]' in this folder."
        )
    address = _serve(str(live().absolute()), port)
    runs = sum(1 for _ in folders())
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # scripts start programs with SIGINT ignored
        signal.signal(number, lambda *_: ended.set())
    print(f"board: {address} shows {counted(runs, 'run')} of {live()}/, and new ones by itself; Ctrl-C ends it")
    ended.wait()
    print("board: ended")


def _serve(folder: str, port: int | None) -> str:
    """Starts TensorBoard in this process; returns its address."""
    from tensorboard import default, program

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of each resumed run, whose points it reads again
    options: dict[str, Any] = {"logdir": folder, "host": _HOST, "reload_interval": 5.0}
    if port is not None:
        options["port"] = port
    server = program.TensorBoard(default.get_plugins())
    server.configure(**options)
    try:
        return str(server.launch())
    except program.TensorBoardServerException as error:
        raise UserError(
            f"TensorBoard cannot serve at port {port or 'from 6006 on'} ({error}): name another one with --port."
        ) from error
