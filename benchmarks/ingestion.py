"""The cost of `ingest`, `preprocess`, `dvc status` and the start of training for growing data.

    python -m benchmarks.ingestion [--images 6000 60000] [--json FILE]

The data are JPEG files of smooth noise, 32 x 32 pixels, in 10 class folders. The two stages run on the folder, each in its own
process, with and without the search for near-duplicates; then on a .tar of the folder, in a new repository with DVC. There a
small network is trained until its first step has ended. Takes a few minutes.

With more than one number of images, the exponent of each figure is printed: 1 if it grows as the images do, from the last but
one number to the last. A fixed part, such as importing TensorFlow, lowers it.
"""

import argparse
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from tasks.training.events import VARIABLE

ROOT = Path(__file__).parent.parent
CLASSES = 10


def make_images(folder: Path, images: int) -> None:
    """Writes JPEG files of about 1 kB into class folders."""
    generator = np.random.default_rng(0)
    for name in range(CLASSES):
        (folder / f"class{name}").mkdir(parents=True)
    for number in range(images):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        (folder / f"class{number % CLASSES}" / f"{number:07d}.jpg").write_bytes(buffer.getvalue())


class Project:
    """A folder with this project's code, graph and parameters, in which stages run."""

    def __init__(self, folder: Path, source: Path, near_duplicates: str) -> None:
        self.folder = folder
        folder.mkdir()
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["ingest"]["source"] = str(source)
        params["preprocess"]["near_duplicates"] = near_duplicates
        params["build"] |= {"depth": 18, "width": 8}
        yaml.dump(params, folder / "params.yaml")
        for name in ("tasks", "resnet", "builtin", "dvc.yaml", ".dvcignore", "data/.gitignore", "data/decisions.csv"):
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, target)
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.environment["DVC_SITE_CACHE_DIR"] = str(folder / "site")

    def run(self, *command: str) -> float:
        """Runs a command; returns the seconds that it took."""
        began = time.perf_counter()
        subprocess.run(command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    def stage(self, name: str) -> dict[str, float]:
        """Runs one stage; returns the seconds of the whole process and its peak memory in MB."""
        seconds = self.run("python", "-m", f"tasks.{name}")
        run = json.loads((self.folder / "reports" / "run.json").read_text("utf-8"))
        return {"seconds": round(seconds, 2), "peak_memory_mb": run["stages"][name]["peak_memory_mb"]}

    def training_start(self) -> dict[str, float]:
        """Starts training; returns the seconds until the first step has ended, and the peak memory until then in MB."""
        self.stage("build")
        events = self.folder / "events.jsonl"
        began = time.perf_counter()
        with subprocess.Popen(
            ["python", "-m", "tasks.train"],
            cwd=self.folder,
            env={**self.environment, VARIABLE: str(events)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while not (events.exists() and '"event": "step"' in events.read_text("utf-8")):
                if process.poll() is not None:
                    raise RuntimeError("training ended before its first step")
                time.sleep(0.05)
            seconds = time.perf_counter() - began
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            process.terminate()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return {"seconds": round(seconds, 2), "peak_memory_mb": round(int(peak.split()[1]) / 1024)}


def measure(images: int, folder: Path) -> dict[str, Any]:
    """Measures everything for one number of images."""
    source = folder / "images"
    make_images(source, images)
    figures: dict[str, Any] = {"images": images}
    for near in ("report", "ignore"):
        project = Project(folder / near, source, near)
        figures[f"near_duplicates: {near}"] = {stage: project.stage(stage) for stage in ("ingest", "preprocess")}
        shutil.rmtree(project.folder)
    archive = folder / "images.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source, ".")
    project = Project(folder / "archive", archive, "report")
    figures["archive"] = {stage: project.stage(stage) for stage in ("ingest", "preprocess")}
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet", "--force"], ["dvc", "repro", "preprocess"]):
        project.run(*command)
    figures["dvc_status_seconds"] = sorted(round(project.run("dvc", "status", "preprocess"), 2) for _ in range(5))
    figures["training_start"] = project.training_start()
    return figures


def exponents(figures: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """How each figure grew: the exponent of the number of images.

    Args:
        figures: for one number of images, as `measure` returns them.
        later: for a larger number.
    """
    ratio = math.log(later["images"] / figures["images"])

    def grown(one: Any, other: Any) -> Any:
        if isinstance(one, Mapping):
            return {name: grown(one[name], other[name]) for name in one}
        if isinstance(one, list):
            one, other = (sorted(values)[len(values) // 2] for values in (one, other))
        return round(math.log(other / one) / ratio, 2)

    return {name: grown(figures[name], later[name]) for name in figures if name != "images"}


def main() -> None:
    """Measures and prints the figures for each number of images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[6000, 60000])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    figures = []
    for images in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measure(images, Path(folder)))
    print(json.dumps(figures, indent=2))
    if len(figures) > 1:
        print("exponents:", json.dumps(exponents(*figures[-2:]), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
