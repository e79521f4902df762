"""Many runs under one: at most so many at a time, and a failed one does not sink the others."""

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
    """One of the runs.

    Attributes:
        number: from 1, in the order of the proposals.
        overrides: its parameters.
        result: what it came to, or nothing if it failed.
        message: how it ended, in a sentence.
    """

    number: int
    overrides: Mapping[str, Any]
    result: Result | None
    message: str


def run_children(
    proposals: Iterable[Mapping[str, Any]], name: str, parallel: int, rev: str, include_changes: bool
) -> Iterator[Child]:
    """Runs one flow for each proposal and yields them as they end; a proposal is drawn when there is room for it.

    Args:
        proposals: overrides.
        name: begins the names of the experiments.
        parallel: how many at a time.
        rev: see `flows/train_resnet.py`.
        include_changes: see there.
    """
    numbered = enumerate(proposals, start=1)
    running: set[Future[Child]] = set()
    with ThreadPoolExecutor(parallel) as pool:
        try:
            while True:
                for number, proposal in islice(numbered, parallel - len(running)):
                    request = Request(proposal, rev, f"{name}-{number:02d}", include_changes=include_changes)
                    # The context says which run is the parent.
                    running.add(pool.submit(contextvars.copy_context().run, _run, number, request))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: one.result().number):
                    yield future.result()
        except BaseException:
            # A signal reaches the main thread alone; the others wait for their processes.
            interrupt_all()
            pool.shutdown(cancel_futures=True)
            raise


def _run(number: int, request: Request) -> Child:
    try:
        state = train_resnet.with_options(flow_run_name=experiment_name(request.experiment or "run", ""))(
            **vars(request), return_state=True
        )
    except Exception as error:  # what is wrong with one run is not wrong with all
        return Child(number, request.overrides, None, str(error))
    result: Any = state.result() if state.is_completed() else None
    return Child(number, request.overrides, result, state.message or state.name or "")
