"""Says whether the network is good enough, for CI: `train-resnet gate` exits with 1 where it is not.

The conditions are `evaluate.minimum_accuracy` and `evaluate.baseline`. The stage `evaluate` records the first among its
outputs. What a revision such as `main` means changes from day to day, and what a stage writes must not: the second is judged
here, at the time of asking.
"""

import argparse
import sys
from typing import TYPE_CHECKING, cast

from commands.compare import compare
from commands.results import WORK_TREE, Run
from resnet.core.errors import UserError
from resnet.evaluation.gate import Check, check_baseline, check_minimum
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params

if TYPE_CHECKING:
    from tasks.evaluate import Evaluate


def judge(params: "Evaluate", run: Run) -> list[Check]:
    """All conditions that the parameters name.

    Raises:
        UserError: the run or the baseline has no results, or their test images differ.
    """
    checks = []
    if params.minimum_accuracy is not None:
        checks.append(check_minimum(run.metrics["accuracy"], params.minimum_accuracy))
    if params.baseline is not None:
        baseline = Run(params.baseline)
        checks.append(check_baseline(compare(baseline, run).paired, str(baseline)))
    return checks


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, but it is {text}")
    return value


def main() -> int:
    """Returns the exit code: 0 where every condition holds, 1 where one does not or cannot be judged."""
    parser = argparse.ArgumentParser(prog="train-resnet gate", description=__doc__)
    parser.add_argument("revision", nargs="?", default=WORK_TREE, help="whose results; the work tree's where none is named")
    parser.add_argument("--minimum-accuracy", type=_share, metavar="SHARE", help="instead of evaluate.minimum_accuracy")
    parser.add_argument("--baseline", metavar="REVISION", help="instead of evaluate.baseline")
    arguments = parser.parse_args()
    asked = {"minimum_accuracy": arguments.minimum_accuracy, "baseline": arguments.baseline}
    try:
        params = load_params(PARAMS_YAML, read_graph(DVC_YAML)).sections["evaluate"]
        params = cast("Evaluate", params).model_copy(update={name: value for name, value in asked.items() if value is not None})
        checks = judge(params, Run(arguments.revision))
    except UserError as error:
        print(f"gate: {error}", file=sys.stderr)
        return 1
    for check in checks:
        print(f"gate: {'passed' if check.passed else 'FAILED'}: {check.why}")
    if not checks:
        print("gate: passed: neither evaluate.minimum_accuracy nor evaluate.baseline is set.")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
