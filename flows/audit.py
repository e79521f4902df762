"""An audit of labels as a Prefect flow: each fold of a cross-validation is a child run. `python -m flows.audit --help`.

Each image is predicted by the network that was not trained on it. Confident learning then finds labels that are probably
wrong. Needs the extra `audit`. Start an interrupted audit again and it goes on: DVC's cache has the folds that are done.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from commands.out_of_fold import check_tables, refuse_other_images, refuse_several_labels, write_audit
from commands.results import RevisionResults
from flows.child_runs import Child, run_all
from flows.descriptions import AUDIT
from flows.ending import in_time
from flows.form import NOTHING, Count, Overrides, filled_overrides
from flows.lost_runs import recorded
from flows.names import describe_audit, naming
from flows.overrides import parse
from flows.server import accept_server
from flows.sweep import check, exit_code
from flows.temporary_server import watched
from resnet.audit.ranking import require_cleanlab
from resnet.core.errors import UserError
from resnet.preparation.folds import MOST_FOLDS

FOLD = "preprocess.fold"


@flow(name="audit", flow_run_name=naming(describe_audit), description=AUDIT, persist_result=False)
def audit(
    *,
    folds: Count = 5,
    parallel: Count = 1,
    rev: str = "HEAD",
    include_changes: bool = False,
    overrides: Overrides = NOTHING,
) -> State[None]:
    """Trains once for each fold, and writes the page and the table of the suspects; each run is an experiment.

    Args:
        folds: the number of parts of the images; each is predicted by a network that was trained on the others.
        parallel: the number of runs at a time.
        rev: the Git revision to run.
        include_changes: include uncommitted changes.
        overrides: parameters to change in all runs.
    """

    def work(pin: Callable[[str], None]) -> State[None]:
        try:
            commit = check_audit(folds, filled_overrides(overrides), parallel, rev, include_changes)
        except UserError as error:
            return Failed(message=str(error))
        pin(commit)
        runs = list[Child]()
        for child in run_all(
            proposals(folds, filled_overrides(overrides)), flow_run.name or "audit", parallel, commit, include_changes
        ):
            if child.result is None:  # without its images there is no audit, so the other folds would not help
                return Failed(
                    message=f"Fold {child.overrides[FOLD]}: {child.message.rstrip('.')}. Folds that are done stay in DVC's "
                    "cache: start the audit again to go on."
                )
            runs.append(child)
        return conclude(sorted(runs, key=lambda run: run.number))

    return recorded(work)


def proposals(folds: int, overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters that each fold changes. Near-duplicates stay in one fold, unless the overrides say otherwise."""
    return [
        {"preprocess.near_duplicates": "together", **overrides, FOLD: f"{number}/{folds}"} for number in range(1, folds + 1)
    ]


def check_audit(folds: int, overrides: Mapping[str, Any], parallel: int, rev: str, include_changes: bool) -> str:
    """Checks all folds before any run starts; returns the commit of all runs.

    Raises:
        UserError: the number of folds is not possible, cleanlab is not installed, a table of decisions cannot be read, the
            images are others than those of `params.yaml` or have several labels each, or a run would be invalid.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise UserError(f"folds must be a number from 2 to {MOST_FOLDS}, but it is {folds}; 5 is usual.")
    if FOLD in overrides:
        raise UserError(f"an audit sets {FOLD} for each of its runs, so it cannot be changed: leave it out.")
    require_cleanlab()
    check_tables()
    if rev == "HEAD" and not include_changes:
        refuse_other_images(overrides)
    if rev == "HEAD":
        refuse_several_labels(overrides)
    return check(proposals(folds, overrides), parallel, rev, include_changes)


def conclude(runs: list[Child]) -> State[None]:
    """Writes and publishes what the folds show together; returns the state of the audit."""
    try:
        sentences = write_audit([RevisionResults(run.result.experiment) for run in runs if run.result])
    except UserError as error:
        return Failed(message=str(error))
    for sentence in sentences:
        print(f"audit: {sentence}")
    create_markdown_artifact("\n".join(f"- {one}" for one in sentences), key="audit", description=sentences[0])
    return Completed(message=". ".join(f"{one[0].upper()}{one[1:]}" for one in sentences))


def main(arguments: list[str] | None = None) -> int:
    """Runs an audit in this process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.audit", description="Find wrong labels by cross-validation.")
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="number of parts of the images (default: 5)")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="number of runs at a time (default: 1)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="change a parameter in all runs")
    parser.add_argument("--rev", default="HEAD", help="the Git revision to run (default: HEAD)")
    parser.add_argument("--include-changes", action="store_true", help="include uncommitted changes")
    given = parser.parse_args(arguments)
    try:
        overrides = parse(given.set)
        check_audit(given.folds, overrides, given.parallel, given.rev, given.include_changes)
        accept_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with in_time(), watched():
        options = {"parallel": given.parallel, "rev": given.rev, "include_changes": given.include_changes}
        state = audit(folds=given.folds, **options, overrides=overrides, return_state=True)
    return exit_code(state)


if __name__ == "__main__":
    sys.exit(main())
