"""Fail if the network is not good enough; for CI.

The conditions are `evaluate.minimum_accuracy` and `evaluate.baseline`. The stage `evaluate` records the result of the first.
The second is checked only here: a revision such as `main` names another commit tomorrow, and the output of a stage must not
change with it.

If images have several labels each, both are about the share of images whose whole set is right, the exact-match accuracy.
"""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from commands.compare import compare_results
from commands.results import WORK_TREE, RevisionResults
from resnet.evaluation.gate import Check, check_baseline, check_minimum
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params

if TYPE_CHECKING:
    from tasks.evaluate import Evaluate


def _share(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1:
        raise typer.BadParameter(f"must be above 0 and at most 1, but it is {value:g}")
    return value


def gate(
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="Whose results: a revision or an experiment.")
    ] = WORK_TREE,
    minimum_accuracy: Annotated[
        float | None, typer.Option(metavar="SHARE", callback=_share, help="Instead of evaluate.minimum_accuracy.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="REVISION", help="Instead of evaluate.baseline.")] = None,
) -> int:
    """Prints the result of each condition.

    Returns:
        0 if every condition holds, otherwise 1.

    Raises:
        UserError: a condition cannot be judged.
    """
    given = {"minimum_accuracy": minimum_accuracy, "baseline": baseline}
    params = load_params(PARAMS_YAML, read_graph(DVC_YAML)).sections["evaluate"]
    params = cast("Evaluate", params).model_copy(update={name: value for name, value in given.items() if value is not None})
    checks = judge(params, RevisionResults(revision))
    for check in checks:
        print(f"gate: {'passed' if check.passed else 'FAILED'}: {check.why}")
    if not checks:
        print("gate: nothing was checked: neither evaluate.minimum_accuracy nor evaluate.baseline is set.")
    return 0 if all(check.passed for check in checks) else 1


def judge(params: "Evaluate", results: RevisionResults) -> list[Check]:
    """Judges each condition that the parameters set.

    Raises:
        UserError: the baseline has no results, or its test images differ.
    """
    checks = []
    if params.minimum_accuracy is not None:
        checks.append(check_minimum(results.metrics["accuracy"], params.minimum_accuracy, of_sets=results.of_sets))
    if params.baseline is not None:
        baseline = RevisionResults(params.baseline)
        found = compare_results(baseline, results)
        checks.append(check_baseline(found.paired, str(baseline), found.testing, of_sets=results.of_sets))
    return checks
