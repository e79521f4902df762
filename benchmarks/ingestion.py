"""The cost of `ingest` and `preprocess` for growing data, and of `dvc status` with an archive as the source.

    python -m benchmarks.ingestion [--images 6000 60000] [--json FILE]

The data are JPEG files of smooth noise, 32 x 32 pixels, in 10 class folders. The two stages run on the folder, each in its own
process, with and without the search for near-duplicates; then on a .tar of the folder, in a new repository with DVC. Takes a
few minutes.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

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
        yaml.dump(params, folder / "params.yaml")
        for name in ("tasks", "resnet", "dvc.yaml", ".dvcignore", "data/.gitignore", "data/decisions.csv"):
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
    return figures


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
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
