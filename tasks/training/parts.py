"""`train.accumulate: auto`: the number of parts of a batch that a step needs in the memory of this machine."""

from typing import TYPE_CHECKING

from resnet.dataset.arrays import Split
from tasks.training.fingerprint import Facts, differences
from tasks.training.progress import say
from tasks.training.resume import sources
from tasks.training.runs import Run, home, list_runs

if TYPE_CHECKING:
    from resnet.training.loop import Trainer
    from tasks.train import Train

_NAME = "train.accumulate"


def parts_that_fit(trainer: "Trainer", training: Split, params: "Train", facts: Facts) -> int:
    """Finds the number of parts and divides the trainer's batches into as many, see `resnet.training.parts.find_parts`.

    A run that was interrupted begins with its own number, which makes it the same run. Only if that does not fit any more, it
    is another run.

    Args:
        trainer: that has not been used.
        training: the split to train on.
        params: the parameters, with `auto`.
        facts: of the run, apart from the number.

    Raises:
        UserError: no number fits.
    """
    from resnet.training.parts import find_parts

    before = _number_before(params, facts)
    parts = find_parts(trainer, training, params.batch_size, before or 1)
    if before is None:
        why = "in fewer parts the largest step does not fit into memory" if parts > 1 else "the largest step fits into memory"
    elif parts == before:
        why = "as it was when this run began"
    else:
        why = f"{before}, with which this run began, does not fit into memory any more, so another run begins"
    say(f"train: {_NAME} is {parts}: {why}")
    return parts


def _number_before(params: "Train", facts: Facts) -> int | None:
    """The number of the run that would go on if it had the same number: this run, or a shorter one that it continues."""
    runs = [run for run in list_runs(home()) if run.newest]
    for source in sources(Run(home() / "auto", facts), params):
        for run in runs:
            if differences(run.facts, source.facts) == [_NAME]:
                return int(run.facts[_NAME])
    return None
