"""Child runs of a sweep or a search: a limited number at a time; the failure of one does not stop the others."""

import contextvars
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flows.checkout import experiment_name
from flows.dvc_process import interrupt_all
from flows.results import Result
from flows.train_resnet import train_resnet
from flows.workspace import Request


@dataclass(frozen=True)
class Child:
    """A child run that has ended.

    Attributes:
        number: from 1, in the order of the proposals.
        overrides: the parameters that it changed.
        result: its result, or None if it failed.
        message: one sentence on how it ended.
    """

    number: int
    overrides: Mapping[str, Any]
    result: Result | None
    message: str


def run_all(
    proposals: Iterable[Mapping[str, Any]], name: str, parallel: int, rev: str, include_changes: bool
) -> Iterator[Child]:
    """Runs the flow once for each proposal and yields each child run when it ends.

    A proposal is drawn only when a run can start, so that a search can use the results so far.

    Args:
        proposals: the overrides of each run.
        name: prefix of the names of the experiments.
        parallel: the number of runs at a time.
        rev: see `flows/train_resnet.py`.
        include_changes: see `flows/train_resnet.py`.
    """
    numbered = enumerate(proposals, start=1)
    running: set[Future[Child]] = set()
    with ThreadPoolExecutor(parallel) as pool:
        try:
            while True:
                for number, proposal in islice(numbered, parallel - len(running)):
                    experiment = experiment_name(f"{name}-{number:02d}", "")
                    request = Request(proposal, rev, experiment, include_changes=include_changes)
                    # Prefect finds the parent run in the context.
                    running.add(pool.submit(contextvars.copy_context().run, _run, number, request))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: one.result().number):
                    yield future.result()
        except BaseException:
            # Python handles signals in the main thread only; the other threads still wait for their DVC processes.
            interrupt_all()
            pool.shutdown(cancel_futures=True)
            raise


def _run(number: int, request: Request) -> Child:
    try:
        state = train_resnet(**vars(request), return_state=True)  # its name says what it changes
    except Exception as error:  # the other runs can still succeed
        return Child(number, request.overrides, None, str(error))
    result: Any = state.result() if state.is_completed() else None
    return Child(number, request.overrides, result, state.message or state.name or "")
