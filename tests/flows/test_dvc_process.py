"""The process that runs DVC, on a repository with one small stage."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import dvc_process
from flows.dvc_process import DvcEndedError, DvcError, DvcProcess, RunEndedError
from tests.flows.quick import wait_for
from tests.imports import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage whose program comes from a test: `program.py`, which must write the file `out`."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "repository"
    folder.mkdir()
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "config", "core.analytics", "false"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(
        "stages:\n  s:\n    cmd: exec python program.py\n    deps: [program.py]\n    outs: [out]\n"
    )
    return folder


def write_program(repository: Path, text: str) -> None:
    (repository / "program.py").write_text(text + "\nopen('out', 'w').write('out')\n")


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


def test_lines_come_as_they_are_printed(repository: Path) -> None:
    write_program(repository, "import time; print('early'); time.sleep(1.5); print('late')")
    moments: dict[str, float] = {}

    def note(line: str) -> None:
        moments[line] = time.monotonic()

    with DvcProcess(repository) as dvc:
        dvc.request("reproduce", note, root=str(repository), stage="s", environment={})
    assert moments["late"] - moments["early"] > 1


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


def test_what_dvc_says_is_the_error_and_the_process_goes_on(repository: Path) -> None:
    write_program(repository, "raise SystemExit(7)")
    with DvcProcess(repository) as dvc:
        with pytest.raises(DvcError, match=r"failed to reproduce 's': failed to run: exec python program.py, exited with 7$"):
            dvc.request("reproduce", root=str(repository), stage="s", environment={})
        with pytest.raises(DvcError, match="nowhere"):
            dvc.request("reproduce", root=str(repository), stage="nowhere", environment={})
        (repository / "program.py").unlink()
        assert dvc.request("look", root=str(repository), stage="s")["key"] is None


def test_the_end_of_dvc_is_an_error_and_the_next_request_starts_another(repository: Path) -> None:
    write_program(repository, "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    with DvcProcess(repository) as dvc:
        with pytest.raises(DvcEndedError, match="the process that runs DVC ended with code -9 while it was to reproduce"):
            dvc.request("reproduce", root=str(repository), stage="s", environment={})
        write_program(repository, "")
        assert dvc.request("reproduce", root=str(repository), stage="s", environment={}) == {"ran": True}


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid())
time.sleep(60)
"""
POLITE = STUBBORN.replace("signal.SIG_IGN", "lambda *_: (time.sleep(0.5), print('put away'), os._exit(3))")


class Stop(BaseException):
    """As Prefect's TerminationSignal: no Exception."""


@pytest.mark.parametrize(("program", "grace", "expected"), [(POLITE, 20.0, 0.5), (STUBBORN, 1.0, 1.0)])
def test_an_end_from_outside_waits_for_the_stage_and_not_for_ever(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    program: str,
    grace: float,
    expected: float,
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

    began = time.monotonic()
    with pytest.raises(Stop):
        run()
    assert expected < time.monotonic() - began < 40
    wait_for(lambda: not alive(seen[0]), 5)  # a killed process closes its files a moment before it is gone
    assert ("put away" in capfd.readouterr().out) == (program == POLITE)
    assert not (repository / "out").exists()


def test_an_end_from_another_thread_ends_the_request(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(repository, "import time; print('go'); time.sleep(60)")
    monkeypatch.setattr(dvc_process, "_ending", type(dvc_process._ending)())

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


def test_nothing_outlives_a_process_that_was_killed(repository: Path, tmp_path: Path) -> None:
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
