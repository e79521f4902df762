"""A project whose stages take no time, and a Prefect server of the tests' own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.imports import ROOT
from tests.project import Project


class Server:
    """A Prefect server with a database of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.api = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # Every second, not every ten.
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self._home = home
        self.start()

    def start(self) -> None:
        """Starts it, where it was before."""
        home, port = self._home, self.api.split(":")[2].removesuffix("/api")
        with (home / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("prefect")), "server", "start", "--port", port, "--no-ui"],
                cwd=home,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._is_healthy, 180)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stops it."""
        os.killpg(self._process.pid, number)
        self._process.wait(timeout=60)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the server answers to a POST, or to a GET if there is no body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def run(self, name: str) -> dict[str, Any]:
        """The latest flow run of a name."""
        runs = self.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC"})
        return dict(runs[0])

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """The task runs of a flow run by their names."""
        found = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {task["name"]: task for task in found}

    def _is_healthy(self) -> bool:
        try:
            return bool(self.ask("health"))
        except (urllib.error.URLError, OSError):
            assert self._process.poll() is None, "the server ended"
            return False


class QuickProject(Project):
    """A project whose stages write what they must and compute nothing; see `quick_stage.py`."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__(folder)
        self.notes = folder.parent / f"{folder.name}-notes"
        self.environment |= {
            **(environment or {}),
            "QUICK_NOTES": str(self.notes),
            "PWD": str(folder),  # as a shell has it; prefect.yaml takes it
            "TMPDIR": str(self._scratch()),
            "TRAIN_RESNET_SLOTS": "2",
        }
        text = (folder / "dvc.yaml").read_text("utf-8").replace("python -m tasks.", "python quick_stage.py ")
        (folder / "dvc.yaml").write_text(text, encoding="utf-8")
        (folder / "quick_stage.py").write_bytes((ROOT / "tests" / "flows" / "quick_stage.py").read_bytes())
        self.commit("quick")

    def commit(self, message: str) -> None:
        """Commits everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def flow(self, *arguments: str, code: int = 0) -> str:
        """`python -m flows.train_resnet`; returns its log."""
        result = self.run("python", "-m", "flows.train_resnet", *arguments, code=code)
        return result.stdout + result.stderr

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Starts a command in the project's folder; its output goes to a file."""
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment | environment, stdout=log, stderr=log, text=True
            )

    def experiments(self) -> dict[str, Any]:
        """The rows of `dvc exp show` by the names of the experiments."""
        shown = json.loads(self.run("dvc", "exp", "show", "--json").stdout)
        return {
            revision["name"]: revision["data"]
            for branch in shown
            for experiment in branch["experiments"] or []
            for revision in experiment["revs"]
        }

    def noted(self, word: str) -> int:
        """How often a line of the notes begins with a word."""
        lines = self.notes.read_text("utf-8").splitlines() if self.notes.exists() else []
        return sum(line.startswith(word) for line in lines)

    def checkouts(self) -> list[Path]:
        """The checkouts that are there."""
        return [path for path in (self.folder / ".dvc/tmp/flows/checkouts").glob("*") if path.is_dir()]

    def tree(self) -> dict[str, str]:
        """All that a run in a checkout must leave as it is: the files, what Git thinks of them, and where HEAD is."""
        files = {
            str(path.relative_to(self.folder)): f"{path.stat().st_mtime_ns} {path.stat().st_size}"
            for path in self.folder.rglob("*")
            if path.is_file() and not {".git", "tmp", "cache", "__pycache__"} & set(path.relative_to(self.folder).parts)
        }
        status = self.run("git", "status", "--porcelain").stdout
        return files | {"status": status, "head": self.run("git", "rev-parse", "HEAD").stdout}

    def processes(self) -> list[str]:
        """The command lines of what still runs for this project."""
        return list(self.numbered_processes().values())

    def numbered_processes(self) -> dict[int, str]:
        """Numbers and command lines of what still runs for this project."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                if f"QUICK_NOTES={self.notes}\0".encode() in environment:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def _scratch(self) -> Path:
        scratch = self.folder.parent / f"{self.folder.name}-scratch"
        scratch.mkdir(exist_ok=True)
        return scratch


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
