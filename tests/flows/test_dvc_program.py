"""The program that runs DVC: its answers, its end, and the cache that it gives to a clone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from configobj import ConfigObj  # type: ignore[import-untyped]

from flows import dvc_program
from tests.flows.quick import wait_for, write_program
from tests.imports import ROOT

MARK = "the-mark "


class Program:
    """The program as `DvcProcess` starts it; as a context manager, it leaves no process and no open pipe."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "flows" / "dvc_program.py"), MARK],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # closes the pipes
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def send(self, **request: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def read_until(self, start: str) -> str:
        """The rest of the next line of output that begins so."""
        assert self.process.stdout is not None
        return next(line.removeprefix(start).rstrip("\n") for line in self.process.stdout if line.startswith(start))

    def close(self) -> None:
        """Closes the pipe on standard input, as the death of the parent does."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def is_running(number: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_requests_are_answered_in_order_until_the_pipe_closes(dvc_repository: Path) -> None:
    write_program(dvc_repository, "")
    with Program(dvc_repository) as program:
        for request in ({"do": "look", "stage": "s"}, {"do": "nothing"}, {"do": "look", "stage": "nowhere"}):
            program.send(root=str(dvc_repository), **request)
        assert json.loads(program.read_until(MARK))["unchanged"] is False
        assert json.loads(program.read_until(MARK)) == {"error": "'nothing'"}
        assert "nowhere" in json.loads(program.read_until(MARK))["error"]
        program.close()
        assert program.process.wait(60) == 0


def test_sigterm_ends_an_idle_program(dvc_repository: Path) -> None:
    with Program(dvc_repository) as program:
        program.send(root=str(dvc_repository), do="nothing")
        program.read_until(MARK)  # its signal handler is in place
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(60) == 128 + signal.SIGTERM


def test_a_running_stage_ends_when_the_pipe_closes(dvc_repository: Path) -> None:
    write_program(dvc_repository, "import os, time; print('pid', os.getpid(), flush=True); time.sleep(300)")
    with Program(dvc_repository) as program:
        program.send(root=str(dvc_repository), do="reproduce", stage="s", environment={})
        stage = int(program.read_until("pid "))
        assert is_running(stage)
        program.close()
        assert program.process.wait(60) == 128 + signal.SIGTERM
        wait_for(lambda: not is_running(stage), 5)
        assert not (dvc_repository / "out").exists()


def test_an_error_has_the_messages_of_its_causes_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, Any]:
        try:
            try:
                raise OSError("disk full")
            except OSError as error:
                raise ValueError("disk full") from error
        except ValueError as error:
            raise RuntimeError("cannot commit") from error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(dvc_program.REQUESTS, "fail", lambda root: fail())
    assert dvc_program._answer({"root": str(tmp_path), "do": "fail"}) == {"error": "cannot commit: disk full"}


def test_a_clone_shares_the_cache_whatever_its_path(dvc_repository: Path, tmp_path: Path) -> None:
    def run(folder: Path, *command: str) -> None:
        subprocess.run(command, cwd=folder, check=True)

    source, clone = dvc_repository.rename(tmp_path / "prüf ung ☃"), tmp_path / "clone"
    (source / "dvc.yaml").unlink()
    (source / "images").write_text("pixels")
    run(source, "dvc", "add", "--quiet", "images")
    run(source, "git", "add", "--all")
    run(source, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "images")
    run(tmp_path, "git", "clone", "--quiet", str(source), str(clone))
    assert not (clone / "images").exists()
    assert dvc_program.share_cache(str(clone), str(source)) == {}
    assert (clone / "images").read_text() == "pixels"
    settings = ConfigObj(str(clone / ".dvc/config.local"), encoding="utf-8")
    assert Path(settings["cache"]["dir"]) == source / ".dvc" / "cache"


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # by DVC, from a library of its own
def test_a_run_elsewhere_gets_what_it_needs_and_returns_what_it_made(
    dvc_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages: the change of `more` makes only the second one run, so only the output of the first is needed."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=dvc_repository, check=True)

    store, cache = tmp_path / "store", dvc_repository / ".dvc" / "cache"
    write_program(dvc_repository, "")
    (dvc_repository / "dvc.yaml").write_text(
        "stages:\n  s:\n    cmd: python program.py\n    deps: [program.py]\n    outs: [out]\n"
        "  t:\n    cmd: cat out more > last\n    deps: [out, more]\n    outs: [last]\n"
    )
    (dvc_repository / "more").write_text("more")
    (dvc_repository / "images").write_text("pixels")
    run("dvc", "add", "--quiet", "images")
    run("dvc", "repro", "--quiet")
    root = str(dvc_repository)
    monkeypatch.chdir(root)  # as the program does before each request
    assert dvc_program.reach(root) == {"remote": None}
    run("dvc", "remote", "add", "--quiet", "--default", "far", str(store))
    with pytest.raises(FileNotFoundError, match="store does not exist on this machine; mount or create it"):
        dvc_program.reach(root)
    store.mkdir()
    assert dvc_program.reach(root) == {"remote": "far"}

    def lose() -> None:
        for name in ("out", "last", "images"):
            (dvc_repository / name).unlink(missing_ok=True)
        shutil.rmtree(cache)

    assert dvc_program.push(root) == {}
    lose()
    (dvc_repository / "more").write_text("changed")
    assert dvc_program.fetch(root) == {"missing": []}
    assert (dvc_repository / "images").read_text() == "pixels"
    assert (dvc_repository / "out").read_text() == "out"
    assert not (dvc_repository / "last").exists()
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 2  # not the old output of the stage that will run
    with pytest.raises(FileNotFoundError, match="last.* is not in DVC's cache, so it cannot be pushed"):
        dvc_program.push(root)
    lose()
    for path in store.rglob("*"):
        if path.is_file() and path.read_text() == "out":
            path.chmod(0o644)
            path.write_text("but")  # damaged in the store: the stage runs again
    assert dvc_program.fetch(root) == {"missing": ["s"]}
    assert not (dvc_repository / "out").exists()
