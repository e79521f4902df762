"""What a search that prunes knows of its trials: a file in `.dvc/tmp/searches/`, which is replaced whenever a part of one ends.

The same command after a kill finds it by what identifies a search, and goes on. Everything else about the search follows from
it: which trials are on which rung, and which values are proposed next.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.locks import held
from flows.results import Result, lowest_loss
from resnet.core.errors import UserError
from resnet.core.files import replacing

if TYPE_CHECKING:
    from flows.trial import Reached

FOLDER = Path(".dvc", "tmp", "searches")


@dataclass
class Trial:
    """A trial.

    Attributes:
        values: of its parameters.
        history: its epochs so far: their columns by name.
        run: the ID of its training run; empty before its first part has ended, and if DVC's cache had its result.
        fresh: whether the search began this run; otherwise its checkpoints are not the search's to remove.
        result: of a trial that was trained to the end.
        failure: why it failed, in one sentence.
    """

    values: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    run: str = ""
    fresh: bool = False
    result: Result | None = None
    failure: str = ""

    @property
    def epochs(self) -> int:
        """The number of its epochs so far."""
        return len(self.history)

    def loss(self, until: int) -> float:
        """The lowest validation loss up to an epoch: that of the weights that would be kept. Infinite without an epoch."""
        return math.inf if self.failure else lowest_loss(row for row in self.history if row["epoch"] <= until)

    def reach(self, reached: "Reached") -> None:
        """Takes over what a part of the trial reached. The same may come twice."""
        self.fresh = self.fresh or (reached.fresh and not self.history)
        self.run = reached.run or self.run
        self.history, self.result = reached.history, reached.result


class SearchRecord:
    """The trials of a search by their numbers, from 0, in the order of their proposals.

    Args:
        path: of the file, which may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trials: dict[int, Trial] = {}
        try:
            self.trials = dict(enumerate(_read(json.loads(path.read_text("utf-8")))))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            words = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read ({words}): remove it to begin the search again.") from error

    def save(self) -> None:
        """Writes the file.

        Raises:
            UserError: it cannot be written.
        """
        trials = [asdict(self.trials[number]) for number in sorted(self.trials)]
        with replacing(self._path) as partial:
            partial.write_text(json.dumps({"trials": trials}, indent=1), encoding="utf-8")


def _read(kept: Any) -> list[Trial]:
    """The trials in a file. Raises `ValueError` if it has another form: another version or a person wrote it."""
    try:
        trials = [Trial(**(one | {"result": one["result"] and Result(**one["result"])})) for one in kept["trials"]]
        for one in trials:
            lowest_loss(one.history)
            sound = isinstance(one.values, dict) and isinstance(one.run, str) and isinstance(one.failure, str)
            if not sound or not all(isinstance(value, int | float) for row in one.history for value in row.values()):
                raise TypeError("a value has another type")
            if [row["epoch"] for row in one.history] != list(range(1, one.epochs + 1)):
                raise TypeError("the epochs are not 1, 2, 3 and so on")
            if one.result and not isinstance(one.result.metrics, dict):
                raise TypeError("metrics must be a mapping")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it has another form: {type(error).__name__} {error}") from error
    return trials


@contextmanager
def opened_record(home: Path, facts: Mapping[str, Any], rungs: Sequence[int]) -> Iterator[SearchRecord]:
    """The record of a search, for this process alone.

    Args:
        home: the project.
        facts: identify the search: its commit, space, seed and number of trials.
        rungs: of the search.

    Raises:
        UserError: another process runs the same search.
    """
    text = json.dumps({**facts, "rungs": list(rungs)}, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]

    def refuse() -> None:
        raise UserError("another process runs this very search: wait until it has ended, or end it and type the command again.")

    with held(home / FOLDER / f"{name}.lock", refuse):
        yield SearchRecord(home / FOLDER / f"{name}.json")
