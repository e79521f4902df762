"""Recipes for photographs: each row runs the project's own stages, with the same time for training.

    python -m benchmarks.recipes photographs ../photos --depth 50 --width 64 --image-size 96 --minutes 5 --json photographs.json

A row changes values in params.yaml. `ingest` and `preprocess` run once for all rows that share their parameters, and a network
that is only evaluated in another way is trained once. The time of an epoch is measured for each row, at each size of its
schedule; the row gets as many epochs as fit into the minutes, with compilation. A run that is stopped goes on where it was: the
same command skips the runs in the JSON file, and training resumes from its checkpoint.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.recipe_parts import photograph_parts
from commands.advice.forecast import Timing, epoch_seconds, over_sizes
from commands.advice.parameters import with_values
from resnet.core.errors import UserError
from resnet.core.files import replacing
from tasks.stage.graph import DVC_YAML
from tasks.stage.params import PARAMS_YAML, Params

_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("builtin", "resnet", "tasks", DVC_YAML.name, "data/decisions.csv")  # what the stages read of the repository
_DONE = "done"
_ANY = 1000  # epochs: more than the sizes of any schedule

Row = dict[str, Any]


class Workshop:
    """The folders in which stages run. Each has the parameters of one run, and links to the code and to earlier results.

    The code is a copy, so that a benchmark of hours is not changed by somebody who works on the code meanwhile.

    Args:
        folder: for all of them; it is kept for the next call.
        text: of `params.yaml`.

    Attributes:
        code: the hash of the code.
    """

    def __init__(self, folder: Path, text: str) -> None:
        self.code = _hash_of_code()
        self._folder = folder.absolute() / self.code
        self._text = text
        if not (self._folder / "code").exists():
            with replacing(self._folder / "code") as copy:
                for name in _CODE:
                    source = _ROOT / name
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy2(source, copy / name)

    def prepared(self, values: Mapping[str, Any]) -> Path:
        """`data/prepared/` for some parameters; made if it is not there."""
        params = with_values(self._text, values)
        raw = self._stage("ingest", params, ["ingest"], {}, ["ingest"])
        return self._stage("preprocess", params, ["ingest", "preprocess"], {"data/raw": raw / "data/raw"}, ["preprocess"])

    def evaluated(self, values: Mapping[str, Any]) -> Row:
        """Trains with some parameters, unless that is done, and evaluates; returns the figures of the row."""
        prepared = self.prepared(values) / "data/prepared"
        params = with_values(self._text, values)
        kept = [name for name in params.sections if name not in ("evaluate", "render")]
        room = self._stage("train", params, kept, {"data/prepared": prepared}, ["build", "train"])
        self._write(room, params)
        _run(room, "evaluate")
        metrics = json.loads((room / "reports/metrics.json").read_text("utf-8"))
        trained = json.loads((room / "reports/run.json").read_text("utf-8"))["stages"]["train"]
        seconds = sum(trained["epoch_seconds"])
        return {**metrics, "epochs": len(trained["epoch_seconds"]), "seconds": round(seconds, 1)}

    def epochs(self, values: Mapping[str, Any], minutes: float) -> int:
        """The number of epochs with some parameters that take so many minutes; measured in a process of its own."""
        classes, split = _counts(self.prepared(values) / "data/prepared")
        values = {**values, "train.epochs": _ANY}
        params = with_values(self._text, values)
        sizes = sizes_of(params)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # TensorFlow's memory is free again after it
            found = pool.submit(_measure, self._text, values, sorted({*sizes}), classes).result()
        return epochs_in(60 * minutes, [found[size] for size in sizes], split, params.value("train.batch_size", int))

    def forget(self, values: Mapping[str, Any]) -> None:
        """Removes a trained network, which has 100 MB with depth 50."""
        params = with_values(self._text, values)
        kept = [name for name in params.sections if name not in ("evaluate", "render")]
        shutil.rmtree(self._place("train", params, kept), ignore_errors=True)

    def _place(self, kind: str, params: Params, sections: list[str]) -> Path:
        facts: dict[str, Any] = {name: params.sections[name].model_dump() for name in sections}
        if kind == "train":
            facts["seed"] = params.seed
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{kind}-{digest}"

    def _stage(self, kind: str, params: Params, sections: list[str], inputs: Mapping[str, Path], stages: Sequence[str]) -> Path:
        """A folder in which some stages have run; `sections` of the parameters decide what they write."""
        room = self._place(kind, params, sections)
        if (room / _DONE).exists():
            return room
        room.mkdir(parents=True, exist_ok=True)
        for name, target in [*((name, self._folder / "code" / name) for name in _CODE), *inputs.items()]:
            (room / name).parent.mkdir(parents=True, exist_ok=True)
            _link(room / name, target)
        for name in ("data", "models", "reports"):
            (room / name).mkdir(exist_ok=True)
        self._write(room, params)
        for stage in stages:
            _run(room, stage)
        shutil.rmtree(room / ".dvc", ignore_errors=True)  # checkpoints
        (room / _DONE).touch()
        return room

    def _write(self, room: Path, params: Params) -> None:
        tree = {"seed": params.seed} | {name: section.model_dump() for name, section in params.sections.items()}
        with (room / PARAMS_YAML).open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(tree, file)


def _hash_of_code() -> str:
    digest = hashlib.sha256()
    for name in _CODE:
        for path in sorted((_ROOT / name).rglob("*")) or [_ROOT / name]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)


def _run(room: Path, stage: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DVC_ROOT", "PYTHONPATH")}
    subprocess.run([sys.executable, "-m", f"tasks.{stage}"], cwd=room, env=environment, check=True)


def sizes_of(params: Params) -> list[int]:
    """The size of the training images in each of the equal shares of the epochs."""
    return params.value("train.size_schedule", list) or [params.value("preprocess.image_size", int)]


def epochs_in(seconds: float, timings: Sequence[Timing], split: Sequence[int], batch_size: int) -> int:
    """The epochs that fit into some seconds of training; at least one for each size, as the schedule needs.

    Args:
        seconds: for compiling the step at each size, and for all epochs.
        timings: for each share of the epochs; one object for each size.
        split: numbers of images for training, validation, test.
        batch_size: of training.
    """
    timing = over_sizes(timings)
    each = epoch_seconds(timing, argparse.Namespace(images=tuple(split)), batch_size)
    return max(len(timings), int((seconds - timing.tracing) / each))


def _measure(text: str, values: Mapping[str, Any], sizes: Iterable[int], classes: int) -> dict[int, Timing]:
    """Measures a row at some sizes."""
    from commands.advice.stopwatch import Stopwatch

    stopwatch = Stopwatch(classes)
    params = with_values(text, values)
    side = params.value("preprocess.image_size", int)
    return {size: stopwatch.time(params, None if size == side else size) for size in sizes}


def _counts(prepared: Path) -> tuple[int, list[int]]:
    """The number of classes, and of images in each split."""
    import numpy as np

    from resnet.core.classes import read_classes
    from resnet.core.tables import SPLITS

    classes = read_classes(prepared / "classes.json")
    return len(classes), [len(np.load(prepared / split / "labels.npy", mmap_mode="r")) for split in SPLITS]


class Results:
    """The JSON file: settings, the epochs of each row, and a row of figures for each run.

    Args:
        path: of the file; an existing one goes on.
        settings: that all runs share.

    Raises:
        SystemExit: the file has other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        self.tree: dict[str, Any] = {**settings, "epochs_of": {}, "rows": []}
        if path.exists():
            self.tree = json.loads(path.read_text("utf-8"))
            other = {name: value for name, value in settings.items() if self.tree.get(name) != value}
            if other:
                sys.exit(f"{path} has other settings than {', '.join(other)}: name another file, or remove it.")

    @property
    def rows(self) -> list[Row]:
        """The finished runs."""
        rows: list[Row] = self.tree["rows"]
        return rows

    def epochs(self, part: str, measure: Callable[[], int]) -> int:
        """The epochs of a row: those in the file, or measured now."""
        known: dict[str, int] = self.tree["epochs_of"]
        if part not in known:
            known[part] = measure()
            self.write()
        return known[part]

    def has(self, part: str, seed: int) -> bool:
        """Whether a run is finished."""
        return any((row["part"], row["seed"]) == (part, seed) for row in self.rows)

    def add(self, row: Row) -> None:
        """Adds a finished run."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Writes the file at once, so that a kill leaves the old or the new one."""
        with replacing(self._path) as partial:
            partial.write_text(json.dumps(self.tree, indent=1) + "\n", "utf-8")


def groups(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]]:
    """The rows that share a trained network: what they change but for `evaluate`, and the rows with all that they change."""
    found: dict[str, tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]] = {}
    for part, values in parts.items():
        trained = {name: value for name, value in values.items() if not name.startswith("evaluate.")}
        found.setdefault(json.dumps(trained, sort_keys=True), (trained, {}))[1][part] = values
    yield from found.values()


def photographs(arguments: argparse.Namespace) -> list[Row]:
    """Trains and evaluates each row with each seed; returns a row of figures for each. A run that fails is left out.

    Raises:
        UserError: a row has parameters that do not fit together; nothing has run then.
    """
    text = PARAMS_YAML.read_text("utf-8")
    network = {
        "preprocess.image_size": arguments.image_size,
        "build.depth": arguments.depth,
        "build.width": arguments.width,
        "build.stem": arguments.stem,
    }
    builtin = arguments.data.startswith(("builtin/", "tfds:"))
    source = arguments.data if builtin else str(Path(arguments.data).absolute())
    every = photograph_parts(arguments.image_size)
    parts = {part: {"ingest.source": source} | network | every[part] for part in arguments.parts or every}
    for values in parts.values():
        with_values(text, values | {"train.epochs": _ANY})
    workshop = Workshop(arguments.work, text)
    settings = {"data": Path(arguments.data).name, "minutes": arguments.minutes, "code": workshop.code, **network}
    results = Results(arguments.json, settings)
    for seed in arguments.seeds:
        for trained, members in groups(parts):
            left = {part: values for part, values in members.items() if not results.has(part, seed)}
            try:
                _run_group(workshop, results, next(iter(members)), trained, left, seed=seed, minutes=arguments.minutes)
            except (subprocess.CalledProcessError, UserError) as error:
                print(f"{' and '.join(left)} with seed {seed} failed: {error}", file=sys.stderr, flush=True)
    order = list(parts)
    return sorted(
        (row for row in results.rows if row["part"] in order), key=lambda row: (order.index(row["part"]), row["seed"])
    )


def _run_group(
    workshop: Workshop,
    results: Results,
    name: str,
    trained: Mapping[str, Any],
    left: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    minutes: float,
) -> None:
    """Runs the rows that share a network and are left."""
    if not left:
        return
    run = {"seed": seed, "train.epochs": results.epochs(name, lambda: workshop.epochs(trained, minutes))}
    for part, values in left.items():
        results.add({"part": part, "seed": seed, **workshop.evaluated({**values, **run})})
        print(results.rows[-1], flush=True)
    workshop.forget({**trained, **run})
