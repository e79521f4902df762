"""The cost of `dvc repro`: of a full run, against the six stages in a single process; and of a run that is up to date.

Everything runs in a clone of the last commit. The up-to-date run is compared with a project of two trivial stages.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.command import report
from benchmarks.contenders import Rounds, summarise

STAGES = ["ingest", "preprocess", "build", "train", "evaluate", "render"]
ONE_PROCESS = f"""
import sys
from tasks.stage.command import main
for stage in {STAGES}:
    sys.argv = [stage]
    assert main(stage) == 0
"""
EMPTY = """stages:
  first:
    cmd: echo 1 > one.txt
    outs: [one.txt]
  second:
    cmd: cat one.txt > two.txt
    deps: [one.txt]
    outs: [two.txt]
"""


def seconds(command: Sequence[str], folder: Path) -> float:
    """Runs a command with this Python first in the PATH; returns the seconds that it took."""
    # The previous run must not be resumed.
    shutil.rmtree(folder / ".dvc" / "tmp" / "checkpoints", ignore_errors=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "DVC_SITE_CACHE_DIR": str(folder.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def in_turns(contenders: dict[str, Callable[[], float]], rounds: int) -> Rounds:
    """Measures the contenders in turns; returns the seconds of each in each round."""
    results: Rounds = {name: [] for name in contenders}
    for number in range(rounds):
        for name, measure in contenders.items():
            results[name].append({"seconds": measure()})
            print(f"round {number + 1}, {name}: {results[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return results


def main() -> int:
    """Measures and reports; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the up-to-date run")
    parser.add_argument("--cold-rounds", type=int, default=1, help="rounds of the full run, which takes minutes")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project, empty = Path(folder) / "project", Path(folder) / "empty"
        subprocess.run(["git", "clone", "--quiet", ".", str(project)], check=True)
        empty.mkdir()
        (empty / "dvc.yaml").write_text(EMPTY, "utf-8")
        for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "repro"]):
            seconds(command, empty)
        cold = {
            "dvc repro": lambda: seconds(["dvc", "repro", "--force"], project),
            "one process": lambda: seconds([sys.executable, "-c", ONE_PROCESS], project),
        }
        nothing = {
            "dvc repro": lambda: seconds(["dvc", "repro"], project),
            "two empty stages": lambda: seconds(["dvc", "repro"], empty),
        }
        for title, contenders, rounds in (
            ("From nothing", cold, arguments.cold_rounds),
            ("With nothing to do", nothing, arguments.rounds),
        ):
            results = in_turns(contenders, rounds)
            rows = summarise(results, "seconds", "dvc repro")
            report(
                f"Pipeline: {title.lower()}",
                "python -m benchmarks.pipeline",
                rows,
                rounds=results,
                first="dvc repro",
                path=arguments.json,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
