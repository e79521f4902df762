"""The process that runs DVC, on a repository with one small stage."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows import dvc_process
from flows.dvc_process import DvcEndedError, DvcError, DvcProcess, list_experiments
from flows.ending import RunEndedError
from tests.flows.quick import wait_for, write_program
from tests.imports import ROOT


@pytest.fixture
def repository(dvc_repository: Path) -> Path:
    return dvc_repository


def alive(number: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_stage_runs_once_and_then_is_unchanged_or_restored(repository: Path) -> None:
    write_program(repository, "print('first'); import sys; print('second', file=sys.stderr)")
    root = str(repository)
    lines: list[str] = []
    with DvcProcess(repository) as dvc:
        seen = dvc.request("look", root=root, stage="s")
        assert (seen["unchanged"], seen["restorable"]) == (False, False)
        assert dvc.request("reproduce", lines.append, root=root, stage="s", environment={}) == {"ran": True}
        assert "first" in lines
        assert "second" in lines
        assert not any("git add" in line for line in lines)
        assert dvc.request("look", root=root, stage="s")["unchanged"]
        assert dvc.request("reproduce", root=root, stage="s", environment={}) == {"ran": False}
        (repository / "out").unlink()
        again = dvc.request("look", root=root, stage="s")
        assert (again["unchanged"], again["restorable"], again["key"]) == (False, True, seen["key"])
        assert dvc.request("reproduce", root=root, stage="s", environment={}) == {"ran": False}
        assert (repository / "out").read_text() == "out"
        write_program(repository, "# otherwise")
        otherwise = dvc.request("look", root=root, stage="s")
        assert otherwise["key"] != seen["key"]
        assert not otherwise["restorable"]


WAITS = """
import pathlib, time
print("early")
deadline = time.monotonic() + 30
while not pathlib.Path("seen").exists():
    if time.monotonic() > deadline:
        raise SystemExit("nobody read the first line")
    time.sleep(0.01)
"""


def test_lines_arrive_as_they_are_printed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    write_program(repository, WAITS)

    def note(line: str) -> None:
        if line == "early":
            (repository / "seen").touch()

    with DvcProcess(repository) as dvc:
        assert dvc.request("reproduce", note, root=str(repository), stage="s", environment={}) == {"ran": True}


def test_a_stage_gets_the_environment_and_cannot_answer_for_dvc(repository: Path) -> None:
    program = "import os, pathlib; print(os.environ['CUDA_VISIBLE_DEVICES']); print('{\"ran\": false}')"
    write_program(repository, program)
    lines: list[str] = []
    with DvcProcess(repository) as dvc:
        answer = dvc.request(
            "reproduce", lines.append, root=str(repository), stage="s", environment={"CUDA_VISIBLE_DEVICES": "3"}
        )
    assert answer == {"ran": True}
    assert "3" in lines


def test_an_error_of_dvc_is_raised_and_the_process_keeps_running(repository: Path) -> None:
    write_program(repository, "raise SystemExit(7)")
    with DvcProcess(repository) as dvc:
        with pytest.raises(DvcError, match=r"failed to reproduce 's': failed to run: exec python program.py, exited with 7$"):
            dvc.request("reproduce", root=str(repository), stage="s", environment={})
        with pytest.raises(DvcError, match="nowhere"):
            dvc.request("reproduce", root=str(repository), stage="nowhere", environment={})
        (repository / "program.py").unlink()
        assert dvc.request("look", root=str(repository), stage="s")["key"] is None


def test_if_the_process_dies_the_next_request_starts_another(repository: Path) -> None:
    write_program(repository, "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    with DvcProcess(repository) as dvc:
        with pytest.raises(DvcEndedError, match="the process that runs DVC ended with code -9 during the request 'reproduce'"):
            dvc.request("reproduce", root=str(repository), stage="s", environment={})
        write_program(repository, "")
        assert dvc.request("reproduce", root=str(repository), stage="s", environment={}) == {"ran": True}


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid())
time.sleep(60)
"""
POLITE = STUBBORN.replace("signal.SIG_IGN", "lambda *_: (time.sleep(0.5), print('cleaned up'), os._exit(3))")


class Stop(BaseException):
    """As Prefect's TerminationSignal, not a subclass of Exception."""


@pytest.mark.parametrize(("program", "grace"), [(POLITE, 20.0), (STUBBORN, 1.0)])
def test_a_signal_waits_until_the_stage_has_cleaned_up_or_the_grace_period_is_over(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], program: str, grace: float
) -> None:
    monkeypatch.setattr(dvc_process, "GRACE_SECONDS", grace)
    write_program(repository, program)
    seen: list[int] = []

    def stop(line: str) -> None:
        if line.startswith("pid"):
            seen.append(int(line.split()[1]))
            raise Stop

    def run() -> None:
        with DvcProcess(repository) as dvc:
            dvc.request("reproduce", stop, root=str(repository), stage="s", environment={})

    with pytest.raises(Stop):
        run()
    wait_for(lambda: not alive(seen[0]), 5)  # a killed process closes its files a moment before it is gone
    assert ("cleaned up" in capfd.readouterr().out) == (program == POLITE)
    assert not (repository / "out").exists()


def test_an_interruption_ends_the_request_and_all_later_ones(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(repository, "import time; print('go'); time.sleep(60)")
    monkeypatch.setattr(dvc_process, "ending", threading.Event())

    def stop(line: str) -> None:
        if line == "go":
            dvc_process.interrupt_all()

    with DvcProcess(repository) as dvc:
        with pytest.raises(RunEndedError):
            dvc.request("reproduce", stop, root=str(repository), stage="s", environment={})
        with pytest.raises(RunEndedError):
            dvc.request("look", root=str(repository), stage="s")
    with pytest.raises(RunEndedError):
        DvcProcess(repository).start()


def test_a_daemon_that_holds_the_pipe_open_does_not_hold_up_the_end(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dvc_process, "GRACE_SECONDS", 1)
    daemon = "import pathlib, os, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(300)"
    write_program(
        repository, f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=True)"
    )
    pid = repository / "pid"
    try:
        with DvcProcess(repository) as dvc:
            dvc.request("reproduce", root=str(repository), stage="s", environment={})
            wait_for(lambda: pid.exists() and pid.read_text() != "")
        assert alive(int(pid.read_text()))
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_no_process_outlives_a_flow_that_was_killed(repository: Path, tmp_path: Path) -> None:
    write_program(repository, "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
    program = (
        "import pathlib\nfrom flows.dvc_process import DvcProcess\n"
        f"with DvcProcess(pathlib.Path({str(repository)!r})) as dvc:\n"
        f"    dvc.request('reproduce', root={str(repository)!r}, stage='s', environment={{}})\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    pid = repository / "pid"
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    stage = int(pid.read_text())
    dvc = int(Path(f"/proc/{stage}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert alive(stage)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    wait_for(lambda: not alive(stage) and not alive(dvc), 15)


def test_reading_experiments_is_ended_where_it_hangs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(repository, "print('works')")
    hangs = tmp_path / "hangs.py"
    hangs.write_text("import sys, time; sys.stdin.readline(); time.sleep(60)")
    monkeypatch.setattr(dvc_process, "git", lambda *_: "0" * 40)
    monkeypatch.setattr(dvc_process, "_LISTING_SECONDS", 0.1)
    monkeypatch.setattr(dvc_process, "_EACH_SECONDS", 0.1)
    dvc = DvcProcess(repository)
    with monkeypatch.context() as remote:
        remote.setattr(dvc_process, "_PROGRAM", hangs)
        dvc.start()
    with dvc:
        hanging = dvc._process
        list_experiments(repository, ["refs/exps/none"], dvc)
        assert hanging is not None
        assert hanging.poll() == -signal.SIGKILL
        assert dvc.request("look", root=str(repository), stage="s")["key"]  # another process answers


def test_reading_experiments_for_their_list_never_fails_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_experiments(tmp_path, ["refs/exps/none"])  # there is no repository
    monkeypatch.setattr(dvc_process, "git", lambda *_: "0" * 40)
    with DvcProcess(tmp_path) as dvc:
        list_experiments(tmp_path, ["refs/exps/none"], dvc)  # DVC finds no repository
        dvc.interrupt()
        list_experiments(tmp_path, ["refs/exps/none"], dvc)
    list_experiments(tmp_path / "nowhere", ["refs/exps/none"])  # the process cannot be started there
