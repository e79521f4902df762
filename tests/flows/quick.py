"""What the tests of flows share: a project whose stages take no time, a Prefect server, and small stand-ins."""

import contextlib
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
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flows.child_runs import Child
from flows.results import Result
from tests.forks import Forks, like_from_a_shell
from tests.imports import ROOT
from tests.project import Project


class Server:
    """A Prefect server with its own database."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.api = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # 1 s instead of the default of 10 s.
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self._home = home
        self.start()

    def start(self) -> None:
        """Starts the server, or starts it again on the same port."""
        home, port = self._home, self.api.split(":")[2].removesuffix("/api")
        with (home / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("prefect")), "server", "start", "--port", port, "--no-ui"],
                cwd=home,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=like_from_a_shell,  # noqa: PLW1509 - no other thread holds a lock
            )
        wait_for(self._is_healthy, 180)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stops the server by a signal."""
        try:
            os.killpg(self._process.pid, number)
            self._process.wait(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Returns the server's answer to a POST, or to a GET if there is no body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        for _ in range(60):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:  # the database is locked; Prefect's client repeats it too
                    raise
            time.sleep(1)
        raise AssertionError(f"{path} is unavailable")

    def submit(self, deployment: str, name: str, overrides: dict[str, Any]) -> str:
        """Submits a run as `prefect deployment run` does, without the seconds of its start; returns its id."""
        found = self.ask(f"deployments/name/{deployment}")["id"]
        body = {"name": name, "parameters": {"overrides": overrides}, "state": {"type": "SCHEDULED"}}
        return str(self.ask(f"deployments/{found}/create_flow_run", body)["id"])

    def run(self, name: str) -> dict[str, Any]:
        """The latest flow run with this name, to which its accuracy may have been added."""
        runs = self.ask("flow_runs/filter", {"flow_runs": {"name": {"like_": name}}, "sort": "START_TIME_DESC"})
        return next(dict(run) for run in runs if run["name"] == name or run["name"].startswith(f"{name}: "))

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """The task runs of a flow run by name."""
        found = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {task["name"]: task for task in found}

    def _is_healthy(self) -> bool:
        try:
            return bool(self.ask("health"))
        except (urllib.error.URLError, OSError):
            assert self._process.poll() is None, "the server ended"
            return False


class QuickProject(Project):
    """A project whose stages write the declared outputs and compute nothing; see `quick_stage.py`."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__(folder)
        self.notes = folder.parent / f"{folder.name}-notes"
        self.environment |= {
            **(environment or {}),
            "QUICK_NOTES": str(self.notes),
            "TMPDIR": str(self._scratch()),
            "TRAIN_RESNET_SLOTS": "2",
        }
        text = (folder / "dvc.yaml").read_text("utf-8").replace("python -m tasks.", "python quick_stage.py ")
        (folder / "dvc.yaml").write_text(text, encoding="utf-8")
        (folder / "quick_stage.py").write_bytes((ROOT / "tests" / "flows" / "quick_stage.py").read_bytes())
        self.commit("quick")
        self._warm: Forks | None = None

    def commit(self, message: str) -> None:
        """Commits everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def flow(self, *arguments: str, code: int = 0) -> str:
        """Does what `python -m flows.train_resnet` does, in a fork of a process that has imported it; returns its log."""
        if self._warm is None:
            environment = self.environment | {"QUICK_NOTES": ""}  # not one of `processes`
            self._warm = Forks("flows.train_resnet:main", folder=self.folder, environment=environment)
        done = self._warm.run(["flows.train_resnet", *arguments], self.folder, self.environment, together=True)
        assert done.returncode == code, f"the exit code of the flow is {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Starts a command in the project's folder; its output goes to a file."""
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                text=True,
                preexec_fn=like_from_a_shell,  # noqa: PLW1509 - no other thread holds a lock
            )

    def experiments(self) -> dict[str, Any]:
        """The rows of `dvc exp show` by experiment name."""
        shown = json.loads(self.run("dvc", "exp", "show", "--json").stdout)
        return {
            revision["name"]: revision["data"]
            for branch in shown
            for experiment in branch["experiments"] or []
            for revision in experiment["revs"]
        }

    def has_read(self, experiment: str) -> bool:
        """Whether DVC keeps what `dvc exp show` lists of an experiment, so that it need not be read again."""
        reference = self.run("git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{experiment}").stdout.strip()
        return (self.folder / ".dvc/tmp/exps/cache" / reference[:2] / reference[2:]).is_file()

    def noted(self, word: str) -> int:
        """The number of notes that begin with a word."""
        lines = self.notes.read_text("utf-8").splitlines() if self.notes.exists() else []
        return sum(line.startswith(word) for line in lines)

    def checkouts(self) -> list[Path]:
        """The checkouts that exist."""
        return [path for path in (self.folder / ".dvc/tmp/flows/checkouts").glob("*") if path.is_dir()]

    def tree(self) -> dict[str, str]:
        """Everything that a run in a checkout must not change: the files, Git's status, and HEAD."""
        files = {
            str(path.relative_to(self.folder)): f"{path.stat().st_mtime_ns} {path.stat().st_size}"
            for path in self.folder.rglob("*")
            if path.is_file() and not {".git", "tmp", "cache", "__pycache__"} & set(path.relative_to(self.folder).parts)
        }
        status = self.run("git", "status", "--porcelain").stdout
        return files | {"status": status, "head": self.run("git", "rev-parse", "HEAD").stdout}

    def close(self) -> None:
        """Ends the process of `flow`, and kills what a failed test left running."""
        if self._warm is not None:
            self._warm.close()
        wait_for(lambda: not self.kill_all())

    def kill_all(self) -> bool:
        """Kills all processes of the project by SIGKILL, as a power cut would; returns whether there were any."""
        numbers = self.numbered_processes()
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return bool(numbers)

    def processes(self) -> list[str]:
        """The command lines of the processes that still run for this project."""
        return list(self.numbered_processes().values())

    def numbered_processes(self) -> dict[int, str]:
        """The command lines of the processes that still run for this project, by process id."""
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
    """Polls a condition until it holds; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} s"
        time.sleep(0.1)


def write_program(repository: Path, text: str) -> None:
    """Writes the program of the stage of `dvc_repository`: some statements, then the stage's output."""
    (repository / "program.py").write_text(text + "\nopen('out', 'w').write('out')\n")


def make_child(number: int, val_loss: float | None, **overrides: Any) -> Child:
    """A child run that has ended, or failed if there is no loss."""
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    result = None if val_loss is None else Result(f"x-{number:02d}", metrics, val_loss)
    return Child(number, overrides, result, "train: a | b" if val_loss is None else "well")
