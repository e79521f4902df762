"""A search that prunes: most trials are stopped early, and the best ones go on from their checkpoints.

Each trial has the schedule of the whole run in its parameters. It pauses after the epochs that `flows/halving.py` says, and
what pauses is held, so that housekeeping leaves its checkpoints alone. So the trials that train to the end have the bytes of a
plain `dvc repro` with their parameters. Optuna proposes values by the losses on the first rung, after equal numbers of epochs.
"""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from flows.checkout import experiment_name
from flows.child_runs import run_each
from flows.ending import ending
from flows.halving import Plan, best, rungs_of, sizes
from flows.proposals import Known, propose
from flows.search_page import Standing, write_page
from flows.search_record import SearchRecord, Trial
from flows.trial import Reached, on_reached, trial
from flows.workspace import HOME
from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted
from tasks.stage.git import git
from tasks.training.runs import Run, hold, home, remove_checkpoints


def check_pruning(space: Mapping[str, Any], trials: int, train: Mapping[str, Any], include_changes: bool) -> tuple[int, ...]:
    """The rungs of a search.

    Args:
        space: the parameters that are searched.
        trials: their number.
        train: the parameters of `train` at the commit.
        include_changes: whether the runs have uncommitted changes.

    Raises:
        UserError: this search cannot prune.
    """
    if include_changes:
        raise UserError(
            "trials of a search that prunes pause and go on later, and an edit in between would change them: commit the "
            "changes, or leave out prune."
        )
    sizes(trials)
    return rungs_of(train, list(space))


class PrunedSearch:
    """A search in progress.

    Args:
        plan: what it does.
        record: what it did so far.
        project: its folder.
    """

    def __init__(self, plan: Plan, record: SearchRecord, project: Path = HOME) -> None:
        self._plan = plan
        self._record = record
        self._project = project
        self._holds: dict[str, ExitStack] = {}
        self._running: dict[int, int] = {}  # to which epoch each trial trains now
        self._on = set(range(plan.sizes[0]))  # the trials that were not pruned
        self._largest = 0  # bytes of a paused run
        self._page_fails = False
        self._lock = threading.Lock()  # the threads of parallel trials record their outcomes

    def run(self) -> None:
        """Runs what is left of the search.

        Raises:
            UserError: the disk has too little space for the checkpoints, or the record cannot be written.
        """
        with ExitStack() as stack:
            stack.callback(self._end)
            for one in self._record.trials.values():
                one.failure = ""  # it may have been a full disk
            self._forget_lost_experiments()
            self._hold()
            for level, until in enumerate(self._plan.rungs):
                if level:
                    self._promote(level)
                last = level == len(self._plan.rungs) - 1
                for number, outcome in run_each(self._starts(until, last), self._plan.parallel):
                    self._note(number, outcome)

    def _end(self) -> None:
        """Releases the holds and writes the last version of the page, also when the search is interrupted."""
        self._running.clear()
        self._release(set())
        self._show(running=False)

    def _starts(self, until: int, last: bool) -> Iterator[Callable[[], tuple[int, Reached | str]]]:
        """The parts that are left on a rung. A new trial gets its values when it can start, by what is known then."""
        for number in sorted(self._on):
            with self._lock:
                if number not in self._record.trials:
                    self._require_space(number)
                    values = propose(self._plan.space, self._plan.seed, number, self._known())
                    self._record.trials[number] = Trial(values)
                    self._record.save()
                one = self._record.trials[number]
                if one.failure or (one.result if last else one.epochs >= until):
                    continue
                self._running[number] = until
                self._show()
            yield partial(self._train, number, until, last)

    def _train(self, number: int, until: int, last: bool) -> tuple[int, Reached | str]:
        """Trains a trial up to an epoch; returns its number, and what it reached or why it failed."""
        name = experiment_name(f"{self._plan.name}-{number + 1:02d}", "")
        values = {**self._plan.overrides, **self._record.trials[number].values}
        found: list[Reached] = []

        def note(reached: Reached) -> None:
            found.append(reached)
            with self._lock:
                self._record.trials[number].reach(reached)
                self._record.save()

        on_reached.set(note)  # this thread's context is a copy
        try:
            state = trial(rev=self._plan.commit, experiment=name, until=until, last=last, overrides=values, return_state=True)
            outcome: Any = state.result() if state.is_completed() else state.message or "failed"
        except Exception as error:  # the other trials can still succeed
            outcome = str(error)
        return number, found[0] if found else outcome

    def _note(self, number: int, outcome: Reached | str) -> None:
        with self._lock:
            self._note_alone(number, outcome)

    def _note_alone(self, number: int, outcome: Reached | str) -> None:
        self._running.pop(number, None)
        one = self._record.trials[number]
        if isinstance(outcome, str):
            if ending.is_set():  # it did not fail, but was interrupted with the search
                return
            one.failure = outcome
        else:
            one.reach(outcome)
        self._record.save()
        self._hold()
        self._show()

    def _known(self) -> list[Known]:
        """The trials for the next proposal, each with its loss on the first rung."""
        first = self._plan.rungs[0]
        trials = [self._record.trials[number] for number in sorted(self._record.trials)]
        return [Known(one.values, one.loss(first) if one.history else None) for one in trials if not one.failure]

    def _promote(self, level: int) -> None:
        """Chooses the trials that go on from a rung, and gives up the checkpoints of the others."""
        losses = {number: self._record.trials[number].loss(self._plan.rungs[level - 1]) for number in self._on}
        stopped = self._on - set(best(losses, self._plan.sizes[level]))
        self._on -= stopped
        self._hold()
        needed = {self._record.trials[number].run for number in self._on}
        for number in stopped:
            one = self._record.trials[number]
            if one.fresh and one.run and one.run not in needed:
                with suppress(UserError):  # somebody else goes on with it
                    remove_checkpoints(self._folder_of(one.run))

    def _hold(self) -> None:
        """Holds the runs that may go on, and no others."""
        trials = [self._record.trials[number] for number in self._on if number in self._record.trials]
        self._release({one.run for one in trials if one.run and not one.result and not one.failure})

    def _release(self, kept: set[str]) -> None:
        for run in self._holds.keys() - kept:
            self._holds.pop(run).close()
        for run in kept - self._holds.keys():
            folder = self._folder_of(run)
            with ExitStack() as stack, suppress(FileNotFoundError):  # it was removed, and begins again
                stack.enter_context(hold(folder))
                self._holds[run] = stack.pop_all()
                self._largest = max(self._largest, folder.size)

    def _folder_of(self, run: str) -> Run:
        return Run(home(self._project) / run, {})

    def _require_space(self, number: int) -> None:
        """Checks, before a new trial, that the disk has space for the checkpoints of all trials that will pause.

        Their size is known from the first trial on. Of one that goes on, the new checkpoints replace the old ones.
        """
        left = self._plan.sizes[0] - number
        free = shutil.disk_usage(self._project).free
        if left * self._largest > free:
            raise UserError(
                f"the checkpoints of {counted(left, 'more trial')}, which {agreeing(left, 'pauses', 'pause')}, need "
                f"{left * self._largest / 1e9:.1f} GB, but the disk of {self._project} has {free / 1e9:.1f} GB "
                "free: free some space and type the command again, which goes on, or search with fewer trials."
            )

    def _forget_lost_experiments(self) -> None:
        """Makes finished trials whose experiments were removed be saved again, from DVC's cache."""
        listed = git(self._project, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        names = {ref.rpartition("/")[2] for ref in listed}
        for one in self._record.trials.values():
            if one.result and one.result.experiment not in names:
                one.result = None

    def standing(self) -> Standing:
        """Where the search is."""
        return Standing(self._plan, self._record.trials, frozenset(self._on), dict(self._running))

    def _show(self, *, running: bool = True) -> None:
        """Writes the page, which only shows what is known elsewhere: a failure is reported, once."""
        try:
            write_page(self._project, self.standing(), running=running)
        except (OSError, UserError) as error:
            if not self._page_fails:
                print(f"the page of the search cannot be written: {error}", file=sys.stderr)
            self._page_fails = True
