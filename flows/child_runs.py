"""Child runs of a sweep or a search: a limited number at a time; the failure of one does not stop the others."""

import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from flows.checkout import experiment_name
from flows.dvc_process import interrupt_all
from flows.results import Result
from flows.train_resnet import train_resnet
from flows.workspace import Request

Ended = TypeVar("Ended")


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

    def starts() -> Iterator[Callable[[], Child]]:
        for number, proposal in enumerate(proposals, start=1):
            experiment = experiment_name(f"{name}-{number:02d}", "")
            yield partial(_run, number, Request(proposal, rev, experiment, include_changes=include_changes))

    return run_each(starts(), parallel)


def run_each(starts: Iterable[Callable[[], Ended]], parallel: int) -> Iterator[Ended]:
    """Calls functions in threads, a limited number at a time, and yields what each of them returns when it ends.

    A function is drawn only when it can start. On an exception here, such as that of a signal, all runs are ended.

    Args:
        starts: functions that raise nothing.
        parallel: the number of functions at a time.
    """
    numbered = enumerate(starts)
    running: dict[Future[Ended], int] = {}
    with ThreadPoolExecutor(parallel) as pool:
        try:
            while True:
                for number, start in islice(numbered, parallel - len(running)):
                    # Prefect finds the parent run in the context.
                    running[pool.submit(contextvars.copy_context().run, start)] = number
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: running[one]):
                    del running[future]
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
