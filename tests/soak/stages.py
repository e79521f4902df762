"""Faults in all stages: SIGKILL, a full disk, flipped bits, a concurrent reader, hostile models: rows of `docs/survival.md`.

python -m tests.soak.stages [--trials N] [--only WORD]
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet.core.errors import UserError
from tests.project import STAGES
from tests.soak.killed_dvc import POINTS
from tests.soak.small_project import OUTPUTS, SmallProject, moments
from tests.soak.trials import Trial, main

_KILLED = [stage for stage in STAGES if stage != "train"]  # tests/soak/interrupted_training.py kills training
_DISK_BYTES = 400 * 2**20  # of the file system to fill; a project with its cache and history takes 40 MB


@contextmanager
def small_project(folder: Path | None = None) -> Iterator[SmallProject]:
    """Makes a project in which all stages have run."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        (Path(made) / "project").mkdir()
        project = SmallProject(Path(made) / "project")
        project.finish()
        yield project


def killed(trials: int) -> int:
    """Kills a stage at a random moment, every other time without DVC; or DVC between the stage's command and its commit."""
    survived = 0
    with small_project() as project:
        for number, share in enumerate(moments(trials)):
            kind = number % (len(_KILLED) + 1)
            if kind < len(_KILLED):
                what = f"{_KILLED[kind]} at {share:.2f}"
                project.kill_in(_KILLED[kind], share, group=number % 2 == 0)
            else:
                point = POINTS[number // (len(_KILLED) + 1) % len(POINTS)]
                stage = STAGES[number // (len(_KILLED) + 1) % len(STAGES)]
                what = f"{stage}, {point}"
                if not project.kill_between(stage, point):
                    _report(f"{what}: DVC was not killed")
                    continue
            wrong = project.recovers(check=kind == len(_KILLED))
            survived += not wrong
            if wrong:
                _report(f"killed in {what}: {wrong}")
    return survived


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """Mounts a file system of `_DISK_BYTES`; yields None if mounting is not allowed."""
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def filled_up(trials: int) -> int:
    """Runs each stage with growing numbers of free bytes, on a mounted disk or under a limit on the size of files."""
    survived = 0
    with small_disk() as disk, small_project(disk) as project:
        for number in range(trials):
            stage = STAGES[number % len(STAGES)]
            before = project.contents(stage)
            whole = sum(map(len, before.values()))
            share = (number // len(STAGES)) / max(1, trials // len(STAGES))
            with _filled(disk, int(share * whole)) if disk else contextlib.nullcontext():
                most = None if disk else max(1, int(share * max(map(len, before.values()))))
                result = project.run_stage(stage, most)
            wrong = _unlike_a_full_disk(result, before, project.contents(stage), stage)
            again = project.run_stage(stage)
            if not wrong and (again.returncode or project.contents(stage) != before):
                wrong = f"it failed with enough space too: {again.stderr[-300:]}"
            survived += not wrong
            if wrong:
                _report(f"{stage} with space for {share:.0%}: {wrong}")
    return survived


@contextmanager
def _filled(disk: Path, free: int) -> Iterator[None]:
    """Fills a disk except for some free bytes."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - max(free, 4096))
    try:
        yield
    finally:
        filler.unlink()


def _unlike_a_full_disk(
    result: "subprocess.CompletedProcess[str]", before: dict[str, bytes], after: dict[str, bytes], stage: str
) -> str:
    if result.returncode == 0:
        return "" if after == before else "it succeeded with other outputs"
    if result.returncode != 1 or result.stderr.count("\n") != 1 or "it needs at least" not in result.stderr:
        return f"the exit code is {result.returncode}: {result.stderr[-500:]}"
    named = [name for name in OUTPUTS[stage] if f"{name} could not be written" in result.stderr]
    if not named and stage != "train":
        return f"no output is named: {result.stderr}"
    # A stage may have replaced some outputs before the disk was full; with the same inputs their bytes are the same.
    return "" if after == before else f"{sorted(name for name in before if after.get(name) != before[name])} were changed"


def flipped(trials: int) -> int:
    """Flips a random bit in turn in a model, a shard, the manifest, an array and a cache object, and uses the file."""
    with small_project() as project:
        places = flip_places(project)
        found = 0
        for number in range(trials):
            name, (path, use) = list(places.items())[number % len(places)]
            bit = random.Random(number).randrange(8 * path.stat().st_size)
            seen = is_found(path, bit, use)
            found += seen
            if not seen:
                _report(f"bit {bit} of {name}, {path}")
    return found


def flip_places(project: SmallProject) -> dict[str, tuple[Path, Callable[[], object]]]:
    """The files to flip a bit in, and for each the check that precedes its use."""
    import numpy as np

    from commands.verify import find_damaged, recorded_files
    from resnet.core.checksums import verify
    from resnet.dataset.arrays import Split
    from resnet.network.archive import read_model

    root = project.folder
    cache = root / ".dvc/cache"
    digest = project.reference["reports/index.html"]

    def split() -> None:
        prepared = Split(root / "data/prepared/training", 2)
        prepared.gather(np.arange(len(prepared)))

    def verified() -> None:
        for file, md5 in find_damaged(list(recorded_files(root, cache))):
            raise UserError(f"{file.path} has the MD5 {md5}")

    return {
        "model": (root / "models/resnet.keras", lambda: read_model(root / "models/resnet.keras")),
        "shard": (root / "data/raw/images-00000.parquet", lambda: verify(root / "data/raw/raw.sha256")),
        "manifest": (root / "data/raw/manifest.csv", lambda: verify(root / "data/raw/raw.sha256")),
        "array": (root / "data/prepared/training/images-00000.npy", split),
        "cache object": (cache / "files/md5" / digest[:2] / digest[2:], verified),
    }


def is_found(path: Path, bit: int, use: Callable[[], object]) -> bool:
    """Flips a bit, keeping the file's times, uses the file, and flips the bit back; returns whether the use was refused."""
    times, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    flip(path, bit)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        use()
    except UserError:
        return True
    else:
        return False
    finally:
        flip(path, bit)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        path.chmod(mode)


def flip(path: Path, bit: int) -> None:
    """Flips a bit in place, so that the file keeps its inode."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))


def published(trials: int) -> int:
    """Saves two models in turn under one name, while another thread reads the file all the time."""
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    from resnet.network.archive import read_model
    from resnet.network.model import ResNet
    from resnet.network.saving import save_model

    models = [ResNet((32, 32, 3), 2, blocks=(1,), width=width, class_names=["a", "b"]) for width in (4, 8)]
    torn: list[str] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        save_model(models[0], path)

        def read() -> None:
            while not done.is_set():
                try:
                    assert read_model(path).config["width"] in (4, 8)
                except (UserError, AssertionError) as error:
                    torn.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(trials):
            save_model(models[number % 2], path)
        done.set()
        reader.join()
    for error in torn[:5]:
        _report(error)
    return max(0, trials - len(torn))


def hostile_models_refused(trials: int) -> int:
    """Loads malicious model files by the stages' own loader; each must be refused."""
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    from resnet.network.model import ResNet
    from resnet.network.saving import load_model, save_model
    from tests.hostile.models import hostile_models

    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        touched, path = Path(folder) / "touched", Path(folder) / "model.keras"
        save_model(ResNet((32, 32, 3), 3, blocks=(1,), width=8, class_names=["a", "b", "c"]), path)
        for model in hostile_models(path, touched)[:trials]:
            path.write_bytes(model.content)
            try:
                load_model(path, ["a", "b", "c"], (32, 32, 3))
                _report(f"{model.name} was loaded")
            except UserError as error:
                refused += "\n" not in str(error) and not touched.exists()
    return refused


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


ROWS = (
    Trial("SIGKILL within each stage, and between stage and DVC's commit", 60, "the same command gives equal hashes", killed),
    Trial("disk full at growing sizes, each stage", 54, "one sentence, old outputs intact, the stage then succeeds", filled_up),
    Trial("one flipped bit: model, shard, manifest, array, cache object", 200, "detected before use", flipped),
    Trial("reader polling while models are replaced", 200, "no torn read", published),
    Trial("hostile models", 49, "refused with one sentence", hostile_models_refused),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
