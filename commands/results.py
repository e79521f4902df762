"""The results of the work tree or of a revision of Git, read from DVC's cache or a remote.

`dvc.lock` says which parameters, code, data and outputs belong together. `params.yaml` does not: it may have been edited since
the run.
"""

import csv
import io
import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from commands.dvc_errors import WHILE_A_RUN, unreadable
from commands.repair import refuse_conflicts, while_dvc_waits
from resnet.core.checksums import md5_of
from resnet.core.errors import UserError
from tasks.stage.graph import is_code

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from dvc.api import DVCFileSystem

WORK_TREE = "workspace"  # as DVC calls it


@dataclass(frozen=True)
class Prediction:
    """The prediction for a test image.

    Attributes:
        label: the true class; the text of a set if images have several labels each.
        predicted: the most probable class, or the predicted set.
        probability: of what is predicted, in [0, 1].
    """

    label: str
    predicted: str
    probability: float


class RevisionResults:
    """The results of one revision.

    Args:
        revision: a revision of Git, the name of an experiment, or `WORK_TREE`.

    Attributes:
        name: the revision as the user named it.
        commit: the hash of its commit, or None for the work tree.

    Raises:
        UserError: the revision does not exist or has no results.
    """

    def __init__(self, revision: str) -> None:
        self.name = revision
        self.commit = None if revision == WORK_TREE else resolve(revision)
        self._files = _open(self.commit)
        self._stages = self._lock()

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The figures of `metrics.json` by name.

        Raises:
            UserError: DVC no longer has them, or they are not those of `dvc.lock`.
        """
        found: dict[str, float] = json.loads(self._read(self._output("evaluate", "metrics.json")))
        return {name: value for name, value in found.items() if not isinstance(value, bool)}  # `mirror` is a parameter

    @property
    def of_sets(self) -> bool:
        """Whether images have several labels each, so that labels and predictions are texts of sets; see `metrics`."""
        return "micro_f1" in self.metrics

    @cached_property
    def predictions(self) -> dict[str, Prediction]:
        """The prediction for each test image, by the path of the image.

        Raises:
            UserError: DVC no longer has them, or they are not those of `dvc.lock`.
        """
        text = self._read(self._output("evaluate", "predictions.csv"))
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return {row["path"]: Prediction(row["label"], row["predicted"], float(row["probability"])) for row in rows}

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The epochs of the training with the columns of `history.csv`; empty if the revision has no stage `train`.

        Raises:
            UserError: DVC no longer has them, or they are not those of `dvc.lock`.
        """
        if "train" not in self._stages:
            return []
        path = self._output("train", "history.csv")
        rows = csv.DictReader(io.StringIO(self._read(path), newline=""))
        return [{name: float(value) for name, value in row.items()} for row in rows]

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that decided the results, by dotted names."""
        found: dict[str, Any] = {}
        for stage in self._deciding():
            for section in stage.get("params", {}).values():
                found |= flat(section)
        return found

    @property
    def code(self) -> dict[str, str]:
        """The MD5 of each file and folder of code that decided the results."""
        deps = [dep for stage in self._deciding() for dep in stage.get("deps", [])]
        return {dep["path"]: dep["md5"] for dep in deps if is_code(PurePosixPath(dep["path"]))}

    @property
    def data(self) -> str:
        """The MD5 of the images as `ingest` wrote them."""
        return self._md5_of(self._images())

    def pixel_hashes(self) -> dict[str, str]:
        """The hash of the pixels of each image of the source, by its path.

        Raises:
            UserError: DVC no longer has the list of the images.
        """
        text = self._read(f"{self._images()}/manifest.csv")
        return {row["path"]: row["pixel_hash"] for row in csv.DictReader(io.StringIO(text, newline=""))}

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their numbers.

        Raises:
            UserError: DVC no longer has them.
        """
        found = json.loads(self._read(f"{self._output('preprocess', 'prepared')}/classes.json"))
        names: list[str] = found["classes"] if isinstance(found, dict) else found  # with the sets of several labels
        return names

    def probabilities(self) -> "npt.NDArray[np.float32]":
        """The probabilities of all classes for each test image, in the order of the predictions, (images, classes) float32.

        Raises:
            UserError: the test split is no fold, so that they were not written, or DVC no longer has them.
        """
        import numpy as np

        found = np.load(io.BytesIO(self._content(f"{self._output('evaluate', 'evaluation')}/probabilities.npy")))
        return np.asarray(found, np.float32)

    def encoded(self, wanted: Collection[str]) -> dict[str, bytes]:
        """The image files with some paths, by path.

        Raises:
            UserError: DVC no longer has them.
        """
        import pyarrow.parquet as pq

        found: dict[str, bytes] = {}
        for shard in sorted(self._files.glob(f"{self._images()}/images-*.parquet")) if wanted else ():
            for batch in pq.ParquetFile(io.BytesIO(self._content(shard))).iter_batches(batch_size=64, columns=["image"]):
                found |= {one["path"]: one["bytes"] for one in batch["image"].to_pylist() if one["path"] in wanted}
            if len(found) == len(wanted):
                break
        return found

    def __str__(self) -> str:
        return self.name if self.commit is None or self.commit.startswith(self.name) else f"{self.name} ({self.commit[:7]})"

    def _lock(self) -> dict[str, Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            with while_dvc_waits(Path()) if self.commit is None else nullcontext():
                text = self._files.read_text("dvc.lock")
            stages: dict[str, Any] = YAML(typ="safe", pure=True).load(text)["stages"]
            self._recorded = {out["path"]: str(out["md5"]) for stage in stages.values() for out in stage.get("outs", [])}
        except FileNotFoundError as error:
            raise UserError(
                f"{self.name} has no results, because it has no dvc.lock; run `dvc repro` and commit it."
            ) from error
        except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            if self.commit is None:
                refuse_conflicts()
            cure = "compare another commit" if self.commit else "`train-resnet verify` says what to do"
            raise UserError(f"dvc.lock of {self.name} is damaged or cut short: {cure}.") from error
        for stage in ("ingest", "evaluate"):
            if not stages.get(stage, {}).get("outs"):
                raise UserError(f"{self.name} has no results: dvc.lock does not know the stage {stage}; run `dvc repro`.")
        return stages

    def _deciding(self) -> list[dict[str, Any]]:
        """The stages without those that read the results, which draw them."""
        results = {out["path"] for out in self._stages["evaluate"]["outs"]}
        return [stage for stage in self._stages.values() if not results & {dep["path"] for dep in stage.get("deps", [])}]

    def _images(self) -> str:
        return str(self._stages["ingest"]["outs"][0]["path"])

    def _output(self, stage: str, name: str) -> str:
        for out in self._stages[stage]["outs"]:
            if PurePosixPath(out["path"]).name == name:
                return str(out["path"])
        raise UserError(f"{self.name} has no {name}: it is older than this file; compare a later revision.")

    def _md5_of(self, path: str) -> str:
        return self._recorded[path]

    def _read(self, path: str) -> str:
        return self._content(path).decode("utf-8")

    def _content(self, path: str) -> bytes:
        from dvc.exceptions import DvcException

        try:
            with self._files.open(path, "rb") as file:
                content: bytes = file.read()
            known = self._files.info(path)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} of {self.name} is neither in DVC's cache nor in a reachable remote: {self._cure()}"
            ) from error
        except DvcException as error:  # DVC reads dvc.yaml and dvc.lock only now
            raise unreadable(error) from error
        except Exception as error:
            from commands.storage_errors import meaning

            trouble = meaning(error, "NAME")
            if trouble is None:
                raise
            why, cure = trouble
            raise UserError(
                f"{path} of {self.name} is not in DVC's cache, and the remote cannot be used, because {why}: {cure}."
            ) from error
        # The index of DVC also knows the files of folders, and dvc.lock those that Git keeps.
        recorded = known.get("dvc_info", {}).get("md5") or self._recorded.get(path)
        if recorded and md5_of(content) != recorded:
            if "md5" in known:  # DVC does not compare what it reads from a cache or a remote
                raise UserError(
                    f"{path} of {self.name} is damaged in DVC's cache or in the remote: its MD5 is not {recorded}; "
                    "`train-resnet verify` says what to do."
                )
            cure = "compare another commit." if self.commit else WHILE_A_RUN
            raise UserError(
                f"{path} is not the file that dvc.lock records in {self.name}, so it may belong to another run: {cure}"
            )
        return content

    def _cure(self) -> str:
        """What brings results that DVC does not have."""
        if self.commit is None:
            return WHILE_A_RUN
        return (
            f"run `dvc push` in a clone that has it, or check out {self.name} and run `dvc repro`. If that changes dvc.lock, "
            "as on another kind of machine, commit it and compare with that commit."
        )


def resolve(revision: str) -> str:
    """The hash of the commit of a revision of Git or of an experiment.

    Raises:
        UserError: there is neither.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import NoSCM, SCMError, resolve_rev

    try:
        with Repo() as repo:
            if isinstance(repo.scm, NoSCM):
                raise UserError(f"{revision} cannot be looked up, because this folder is not in a Git repository.")
            return str(resolve_rev(repo.scm, revision))
    except (DvcException, SCMError) as error:
        raise UserError(
            f"there is no revision and no experiment {revision!r} here; `git log --oneline` and `dvc exp list` name them, "
            f"{WORK_TREE!r} is the work tree, and `dvc exp pull origin NAME` fetches an experiment of another clone."
        ) from error


def _open(commit: str | None) -> "DVCFileSystem":
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        return DVCFileSystem(".", rev=commit)
    except DvcException as error:
        raise unreadable(error) from error


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a tree of mappings by dotted names; nothing if the tree is no mapping."""
    found: dict[str, Any] = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
