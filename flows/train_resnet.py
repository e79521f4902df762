"""The pipeline as a Prefect flow; each run is a DVC experiment. `python -m flows.train_resnet --help`."""

import argparse
import sys
from collections.abc import Callable

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from flows import outcome
from flows.artifacts import publish
from flows.descriptions import TRAIN
from flows.ending import in_time
from flows.form import NOTHING, Overrides, Text, filled_overrides
from flows.lost_runs import recorded
from flows.names import describe_run, naming
from flows.overrides import parse
from flows.results import Result, read_result
from flows.server import accept_server
from flows.stages import run_logger, stage_task
from flows.temporary_server import watched
from flows.workspace import Request, Workspace, opened
from resnet.core.errors import UserError

ingest = stage_task("ingest")
preprocess = stage_task("preprocess")
build = stage_task("build")
train = stage_task("train")
evaluate = stage_task("evaluate")
render = stage_task("render")


@flow(name="train-resnet", flow_run_name=naming(describe_run), description=TRAIN, persist_result=False)
def train_resnet(
    *,
    rev: str = "HEAD",
    experiment: Text = "",
    in_place: bool = False,
    include_changes: bool = False,
    keep_checkout: bool = False,
    overrides: Overrides = NOTHING,  # last: the form is as long as params.yaml
) -> State[Result]:
    """Runs all stages, from images to report; the result is a DVC experiment.

    Args:
        rev: the Git revision to run: a commit, branch or tag.
        experiment: the name of the experiment; empty means the name of the run.
        in_place: work in the project's folder, as `dvc repro` does, instead of a checkout.
        include_changes: include uncommitted changes in the checkout.
        keep_checkout: keep the checkout when the run ends.
        overrides: parameters to change, as {"train.epochs": 3}; an empty field means the value of the revision.
    """
    request = Request(filled_overrides(overrides), rev, experiment or None, in_place, include_changes, keep_checkout)
    return recorded(lambda pin: _run(request, experiment or flow_run.name or "run", pin))


def _run(request: Request, name: str, pin: Callable[[str], None]) -> State[Result]:
    try:
        with opened(request, name, run_logger().info) as workspace:
            pin(workspace.commit)
            trained = run_stages(workspace)
            result = read_result(workspace.root, workspace.save(name))
            show_result(workspace, request, result, trained)
    except UserError as error:
        return Failed(message=str(error))
    return Completed(message=outcome.message(result, request.in_place), data=result)


def run_stages(workspace: Workspace, *, measured: bool = True) -> State[None]:
    """Runs the stages and returns the state of `train`.

    Args:
        workspace: of the run.
        measured: whether to evaluate and render after training.

    Raises:
        UserError: a stage failed for a reason that the user can correct.
        StageError: a stage failed for another reason.
    """
    images = ingest(workspace)
    prepared = preprocess(workspace, images)
    network = build(workspace, prepared)
    trained = train(workspace, prepared, network)
    if measured:
        measures = evaluate(workspace, prepared, trained)
        render(workspace, images, prepared, network, trained, measures)
    return trained


def show_result(workspace: Workspace, request: Request, result: Result, trained: State[None]) -> None:
    """Shows the results in Prefect's UI. The experiment is saved: a server that is away does not make the run fail."""
    try:
        publish(workspace.root, result, workspace.commit, request.in_place)
        outcome.show(result, outcome.tags(workspace.root, result, trained))
    except Exception as error:
        run_logger().warning("The results could not be shown: %s", error)


def main(arguments: list[str] | None = None) -> int:
    """Runs the flow in this process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.train_resnet", description="Run the pipeline as a Prefect flow.")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="change a parameter, in a checkout")
    parser.add_argument("--rev", help="run this Git revision, in a checkout")
    parser.add_argument("--experiment", metavar="NAME", help="the name of the experiment (default: the name of the run)")
    parser.add_argument("--checkout", action="store_true", help="run in a checkout even if no other option needs one")
    parser.add_argument("--include-changes", action="store_true", help="include uncommitted changes in the checkout")
    parser.add_argument("--keep-checkout", action="store_true", help="keep the checkout when the run ends")
    given = parser.parse_args(arguments)
    in_place = not (given.set or given.rev or given.checkout or given.include_changes or given.keep_checkout)
    try:
        request = Request(
            parse(given.set), given.rev or "HEAD", given.experiment, in_place, given.include_changes, given.keep_checkout
        )
        request.check()
        accept_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with in_time(), watched():
        state = train_resnet(**vars(request), return_state=True)
    if not state.is_completed():
        print(state.message, file=sys.stderr)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
