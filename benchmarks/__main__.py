"""Runs all benchmarks and writes `benchmarks/results.md` and `benchmarks/results.json`; `make bench` calls it.

python -m benchmarks --only pipeline    # only benchmarks whose command contains this; the results of the others stay
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.stage.record import machine

RUNS = (
    "benchmarks.training --size 224 --batch 32 --seconds 3 --peers keras keras-bf16 torch-bf16 torch-bf16-compiled ours-bare",
    "benchmarks.training --size 128 --batch 32 --seconds 2 --peers torch-bf16 torch-bf16-compiled",
    "benchmarks.training --size 32 --batch 64 --seconds 1.5 "
    "--peers keras keras-bf16 torch torch-bf16 torch-bf16-compiled ours-bare",
    "benchmarks.training --size 32 --batch 64 --seconds 1.5 --network resnet18 --peers torch torch-bf16 torch-bf16-compiled",
    "benchmarks.inference --size 224 --batch 32 --seconds 1.5",
    "benchmarks.input --size 224 --batch 32",
    "benchmarks.input --size 32 --batch 64",
    "benchmarks.pipeline",
    "benchmarks.scaling",
    "benchmarks.step_profile training --size 224 --batch 32",
    "benchmarks.step_profile training --size 32 --batch 64",
    "benchmarks.step_profile inference --size 224 --batch 32",
    "benchmarks.step_profile openvino --size 224 --batch 32",
)


def main() -> int:
    """Runs the benchmarks and writes their reports; returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORDS", help="only benchmarks whose command contains this")
    only = parser.parse_args().only
    results = Path(__file__).with_name("results.json")
    held = json.loads(results.read_text("utf-8"))["runs"] if only and results.exists() else {}
    found, failed = {run: held[run] for run in RUNS if run in held}, []
    for run in RUNS:
        if only not in run:
            continue
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            code = subprocess.run([sys.executable, "-m", *run.split(), "--json", file.name], check=False).returncode
            text = Path(file.name).read_text("utf-8")
        if code or not text:
            failed.append(run)
        else:
            found[run] = json.loads(text)
    here = machine()
    head = f"# Results\n\n{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB, Python {here['python']}.\n"
    reports = [found[run]["report"] for run in RUNS if run in found]
    results.with_suffix(".md").write_text("\n".join([head, *reports]), "utf-8")
    results.write_text(json.dumps({"machine": here, "runs": found}, indent=2) + "\n", "utf-8")
    if failed:
        print(f"failed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
