"""The forecast of `train-resnet advise` against the run that it recommends.

    python -m benchmarks.forecast ../photos --minutes 5 15 --json forecast.json

For each time it asks for advice in a new clone of the last commit, runs the recommended command there, and compares the times.
A run is within the bar if the whole run takes at most 20 % more or less than forecast. Nothing else may run on the machine.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BAR = 0.2  # of the forecast


def measure(source: str, minutes: float, folder: Path) -> dict[str, Any]:
    """Runs the recommendation for some minutes; returns the forecast and the measured seconds, by part."""
    project = folder / f"{minutes:g}"
    subprocess.run(["git", "clone", "--quiet", ".", str(project)], check=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "DVC_SITE_CACHE_DIR": str(folder / "site")}
    advise = [sys.executable, "-m", "commands", "advise", source, "--minutes", f"{minutes:g}", "--json"]
    said = subprocess.run(advise, cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    advice = json.loads(said)
    began = time.perf_counter()
    subprocess.run(shlex.split(advice["command"]), cwd=project, env=environment, check=True, stdout=sys.stderr)
    whole = time.perf_counter() - began
    stages = json.loads((project / "reports/run.json").read_text("utf-8"))["stages"]
    taken = {stage: stages[stage]["seconds"] for stage in ("build", "train", "evaluate", "render")}
    prepared = advice["seconds"]["preprocess"] > 0
    taken["preprocess"] = stages["preprocess"]["seconds"] if prepared else 0.0
    return {"minutes": minutes, "command": advice["command"], **compare(advice["seconds"], taken, whole)}


def compare(forecast: dict[str, float], taken: dict[str, float], whole: float) -> dict[str, Any]:
    """The two by part, and the error of the whole as a share of the forecast.

    Args:
        forecast: seconds of each part, as `advise` prints them.
        taken: seconds of each stage that ran.
        whole: seconds of the command; what the stages did not take is DVC's.
    """
    measured = {**taken, "dvc": round(whole - sum(taken.values()), 1)}
    expected = sum(forecast.values())
    return {
        "parts": {part: [forecast[part], measured[part]] for part in forecast},
        "forecast": round(expected, 1),
        "measured": round(whole, 1),
        "error": round(whole / expected - 1, 3),
    }


def table(rows: Iterable[dict[str, Any]]) -> str:
    """A line for each run: forecast, measurement, error, and the part with the largest error."""
    lines = ["| minutes asked for | forecast, s | measured, s | error | largest error of a part |", "|---|---|---|---|---|"]
    for row in rows:
        part, (expected, found) = max(row["parts"].items(), key=lambda item: abs(item[1][1] - item[1][0]))
        worst = f"{part}: {expected:.0f} s forecast, {found:.0f} s measured"
        lines.append(f"| {row['minutes']:g} | {row['forecast']:.0f} | {row['measured']:.0f} | {row['error']:+.1%} | {worst} |")
    return "\n".join(lines)


def main() -> int:
    """Measures and reports; returns 1 if an error is above the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="images, as in ingest.source")
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0, 5.0, 8.0, 12.0, 15.0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    source = str(Path(arguments.source).absolute()) if Path(arguments.source).exists() else arguments.source
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            rows.append(measure(source, minutes, Path(folder)))
            print(rows[-1], file=sys.stderr, flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print(table(rows))
    return int(any(abs(row["error"]) > BAR for row in rows))


if __name__ == "__main__":
    sys.exit(main())
