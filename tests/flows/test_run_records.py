"""Records of runs: locked while the process lives, found when it has ended, and read although they are cut off."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.run_records import FOLDER, create, ended, is_alive, process_mark
from tests.imports import ROOT

# A process that records a run and waits to be killed.
RUNS = """
import signal, sys
from pathlib import Path
from flows.run_records import create
record = create(Path(sys.argv[1]), "theirs", parent=None)
record.note(commit="0123")
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def running(home: Path) -> Iterator[None]:
    """Runs the process in the block and kills it at the end."""
    command = [sys.executable, "-c", RUNS, str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def test_a_record_is_found_when_its_process_was_killed_and_not_before(tmp_path: Path) -> None:
    with running(tmp_path):
        assert list(ended(tmp_path)) == []
    found = [(record.run, record.facts) for record in ended(tmp_path)]
    assert found == [("theirs", {"parent": None, "commit": "0123"})]
    for record in ended(tmp_path):
        record.remove()
    assert list(ended(tmp_path)) == []
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_two_processes_do_not_settle_the_same_record(tmp_path: Path) -> None:
    create(tmp_path, "mine").close()
    first = ended(tmp_path)
    assert next(first).run == "mine"
    assert list(ended(tmp_path)) == []  # the first one still holds it


@pytest.mark.parametrize(
    "text", ["", '{"comm', "\0\0", "null", "[1]", '{"final": ["NOPE", "m"]}', '{"final": ["FAILED"]}', "[" * 100_000]
)
def test_a_record_that_is_damaged_still_names_its_run(tmp_path: Path, text: str) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "0a1b.x.json").write_text(text)
    assert [(record.run, record.facts) for record in ended(tmp_path)] == [("0a1b", {})]


def test_a_process_is_told_from_a_later_one_with_the_same_id() -> None:
    mine = process_mark(os.getpid())
    assert mine is not None
    assert is_alive(mine)
    number, started, boot = mine.split()
    assert not is_alive(f"{number} {int(started) + 1} {boot}")
    assert not is_alive(f"{number} {started} another-boot")
    assert not is_alive("x y z")
    assert not is_alive("")


def test_a_folder_among_the_records_is_no_record(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "0a1b.x.json").mkdir(parents=True)
    assert list(ended(tmp_path)) == []


def test_a_process_that_ended_and_was_not_waited_for_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    mark = process_mark(process.pid)
    assert mark is not None
    assert is_alive(mark)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(mark)
    process.wait()
