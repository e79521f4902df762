"""The values that Optuna proposes for a trial, and how important each parameter is.

A proposal is a function of the seed, the number of the trial, and the results so far. So a search that is killed and started
again proposes what it would have proposed, without a database of Optuna's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import optuna

    Space = dict[str, optuna.distributions.BaseDistribution]

# PED-ANOVA (Watanabe et al. 2023) asks which values the best trials have. Optuna advises at least five trials among the best;
# the best quarter has five of twenty.
TRIALS_FOR_IMPORTANCE = 20
_QUARTER = 0.25


@dataclass(frozen=True)
class Known:
    """What is known of an earlier trial.

    Attributes:
        values: of its parameters.
        loss: its result; None while it runs.
    """

    values: Mapping[str, Any]
    loss: float | None


def propose(space: "Space", seed: int, number: int, known: Sequence[Known]) -> dict[str, Any]:
    """The values of a trial by the TPE sampler (Bergstra et al. 2011); those of the first ten trials are random.

    Args:
        space: Optuna's distribution by parameter.
        seed: of the search.
        number: of the trial.
        known: the earlier trials, without those that failed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    # constant_liar keeps proposals of concurrent runs apart: it assumes a bad result for each run that has not ended.
    sampler = optuna.samplers.TPESampler(seed=drawn, constant_liar=any(one.loss is None for one in known))
    return _study(space, known, sampler).ask(space).params


def importances(space: "Space", known: Sequence[Known]) -> dict[str, float] | None:
    """The share of each parameter in whether a trial is among the best quarter, the largest first; they add up to 1.

    Returns:
        None if there are less than `TRIALS_FOR_IMPORTANCE` results, or less than two parameters.
    """
    import optuna

    ended = [one for one in known if one.loss is not None]
    if len(ended) < TRIALS_FOR_IMPORTANCE or len(space) < 2:
        return None
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_QUARTER)
    return optuna.importance.get_param_importances(_study(space, ended), evaluator=evaluator)


def _study(space: "Space", known: Sequence[Known], sampler: "optuna.samplers.BaseSampler | None" = None) -> "optuna.Study":
    import optuna
    from optuna.trial import TrialState

    study = optuna.create_study(direction="minimize", sampler=sampler)
    for one in known:
        state = TrialState.RUNNING if one.loss is None else TrialState.COMPLETE
        made = optuna.trial.create_trial(params=dict(one.values), distributions=space, value=one.loss, state=state)
        study.add_trial(made)
    return study
