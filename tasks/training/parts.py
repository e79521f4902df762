"""`train.accumulate: auto`: the number of parts of a batch that a step needs in the memory of this machine.

The numbers of finished runs are in a file beside the checkpoints, because the checkpoints themselves are removed in time. So
`dvc repro --force` gives the same bytes, whatever memory is free then.
"""

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from resnet.dataset.arrays import Split
from tasks.training.fingerprint import Facts, differences, fingerprint
from tasks.training.progress import say
from tasks.training.resume import sources
from tasks.training.runs import Run, home, list_runs

if TYPE_CHECKING:
    from resnet.training.loop import Trainer
    from tasks.train import Train

_NAME = "train.accumulate"
_FINISHED_JSON = "parts.json"
_MOST_KEPT = 1000  # numbers, of 25 bytes each


def parts_that_fit(trainer: "Trainer", splits: tuple[Split, Split], params: "Train", facts: Facts) -> int:
    """Finds the number of parts and divides the trainer's batches into as many, see `resnet.training.parts.find_parts`.

    A run that was finished or interrupted begins with its own number, which makes it the same run. Only if that does not fit
    any more, it is another run.

    Args:
        trainer: that has not been used.
        splits: for training and validation.
        params: the parameters, with `auto`.
        facts: of the run, apart from the number.

    Raises:
        UserError: no number fits.
    """
    from resnet.training.parts import find_parts

    before, when = _number_before(params, facts)
    parts = find_parts(trainer, splits, params.batch_size, before or 1)
    if before is None:
        why = "in fewer parts the largest step does not fit into memory" if parts > 1 else "the largest step fits into memory"
    elif parts == before:
        why = f"as it was when {when}"
    else:
        why = f"{before}, which it was when {when}, does not fit into memory any more, so another run begins"
    say(f"train: {_NAME} is {parts}: {why}")
    return parts


def remember_parts(facts: Facts) -> None:
    """Records the number of a finished run that had `auto`.

    Args:
        facts: of the run, with the number.
    """
    path = home() / _FINISHED_JSON
    of_this = {_key(facts): facts[_NAME]}
    others = {key: number for key, number in _finished().items() if key not in of_this}
    kept = dict([*others.items()][1 - _MOST_KEPT :]) | of_this
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    with suppress(OSError):  # on a full disk; the number is in `reports/run.json`, too
        try:
            partial.write_text(json.dumps(kept), encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _finished() -> dict[str, int]:
    """The numbers of finished runs, the oldest first."""
    try:
        numbers = json.loads((home() / _FINISHED_JSON).read_text("utf-8"))
        return {str(key): int(number) for key, number in numbers.items() if int(number) > 0}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}  # then the number is found by trial


def _key(facts: Facts) -> str:
    return fingerprint(facts | {_NAME: "auto"})


def _number_before(params: "Train", facts: Facts) -> tuple[int | None, str]:
    """The number of this run or of a shorter one that it continues, and when that was; None if there was no such run.

    The run was finished, or has a checkpoint from which it would go on if it had the same number.
    """
    finished, runs = _finished(), [run for run in list_runs(home()) if run.newest]
    for source in sources(Run(home() / "auto", facts), params):
        if number := finished.get(_key(source.facts)):
            return number, "this run was finished before" if source.facts == facts else "the run that it continues was finished"
        for run in runs:
            if differences(run.facts, source.facts) == [_NAME]:
                return int(run.facts[_NAME]), "this run began"
    return None, ""
