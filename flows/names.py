"""Names of runs: what a run changes, as in `epochs=3 lr=0.01`, or `defaults @ 1a2b3c4`.

A name that a person gave stays. Only the names that Prefect makes up for want of a better one are replaced.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prefect.runtime import flow_run
from ruamel.yaml import YAML

from commands.results import flat
from flows.form import filled, filled_overrides
from flows.values import text
from flows.workspace import PROJECT
from resnet.core.errors import printable
from resnet.core.words import agreeing, counted
from tasks.stage.git import git_or_none
from tasks.stage.params import PARAMS_YAML

LIMIT = 80  # characters; the list of runs in Prefect's UI shows about as many
_VALUE_LIMIT = 24
_SHORT = {"learning_rate": "lr"}
# Of the forms of the new UI, as Small-Beetle, and of the old one, as zeta6-alkes: a Greek letter with a number, and a star. The
# old one leaves the number out at times; such a name stays, because beta-test may be a person's.
_OF_A_FORM = re.compile(
    r"[A-Z][a-z]+-[A-Z]\w+|(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|"
    r"upsilon|phi|chi|psi|omega)\d+(-[a-z]+)+"
)


def is_made_up(name: str) -> bool:
    """Whether Prefect made up the name of a run: its server, or the form of its new or its old UI."""
    adjective, _, animal = name.partition("-")
    of_the_server = adjective.isalpha() and animal in _animals()
    return of_the_server or _OF_A_FORM.fullmatch(name) is not None


def _animals() -> set[str]:
    try:
        from coolname.data import config  # what Prefect's server makes names of, as giga-tiger
    except ImportError:
        return set()
    lists: Any = config
    return {word for key in ("animal", "animal_breed", "animal_legendary") for word in lists.get(key, {}).get("words", ())}


def changes(overrides: Mapping[str, Any]) -> str:
    """What overrides change: `epochs=3 lr=0.01`. A parameter whose short name is not unique keeps its section."""
    names = short_names(overrides)
    return " ".join(f"{names[name]}={_brief(value)}" for name, value in overrides.items())


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The last part of each dotted name, or all of it if another parameter of the project has the same last part."""
    names = list(names)
    count = Counter(name.rpartition(".")[2] for name in {*names, *_known()})
    last = {name: name.rpartition(".")[2] for name in names}
    return {name: _SHORT.get(last[name], last[name]) if count[last[name]] == 1 else name for name in names}


def _known() -> set[str]:
    try:
        return set(flat(YAML(typ="safe", pure=True).load(PROJECT / PARAMS_YAML)))
    except Exception:  # an edit of the file is half done
        return set()


def _brief(value: Any) -> str:
    """Six digits of a number, which a search may propose with seventeen; the end of a long text: that of a path tells most."""
    words = f"{value:.6g}" if isinstance(value, float) else text(value)
    return words if len(words) <= _VALUE_LIMIT else f"…{words[1 - _VALUE_LIMIT :]}"


def describe_run(given: Mapping[str, Any]) -> str:
    """The name of a run of `train-resnet`.

    Args:
        given: the parameters of the flow run.
    """
    overrides, commit = filled_overrides(given.get("overrides")), _commit(given.get("rev") or "HEAD")
    words = [_cut(changes(overrides)) or "defaults"]
    if not overrides or commit != _commit("HEAD"):
        words.append(f"@ {commit}")
    if given.get("in_place") or given.get("include_changes"):
        words.append("+ changes" if given.get("include_changes") else "in place")
    return " ".join(words)


def describe_trial(given: Mapping[str, Any]) -> str:
    """The name of a part of a trial of a search that prunes: what the trial changes, and how far the part goes."""
    return f"{_cut(changes(filled_overrides(given.get('overrides'))))} to epoch {given.get('until')}"


def describe_sweep(given: Mapping[str, Any]) -> str:
    """The name of a run of `sweep`: its parameters and their values, as in `sweep lr=0.001,0.01 x seed=0,1`."""
    grid = filled(given.get("grid"))
    names = short_names(grid)
    return _cut("sweep " + " x ".join(f"{names[name]}={_values(values)}" for name, values in grid.items())).strip()


def _values(values: Sequence[Any]) -> str:
    """The values, or their number if they are too long for a name."""
    words = ",".join(map(_brief, values))
    return words if len(words) <= _VALUE_LIMIT else counted(len(values), "value")


def describe_search(given: Mapping[str, Any]) -> str:
    """The name of a run of `search`: its parameters and the number of trials."""
    names = [name for kind in ("between", "between_log", "among") for name in filled(given.get(kind))]
    pruned = ", pruned" if given.get("prune") else ""
    trials = given.get("trials", 20)  # as the server keeps it, so perhaps no number
    words = " ".join(["search", *short_names(names).values(), changes(filled_overrides(given.get("overrides")))])
    return f"{_cut(words.strip())}: {trials} {agreeing(trials, 'trial', 'trials')}{pruned}"


def describe_audit(given: Mapping[str, Any]) -> str:
    """The name of a run of `audit`: the number of its folds, and what it changes."""
    return _cut(f"audit {given.get('folds', 5)} folds {changes(filled_overrides(given.get('overrides')))}".strip())


def _commit(rev: str) -> str:
    return (
        git_or_none(PROJECT, "rev-parse", "--short=7", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
        or printable(rev)[:_VALUE_LIMIT]
    )


def _cut(words: str) -> str:
    return words if len(words) <= LIMIT else f"{words[: LIMIT - 1]}…"


def naming(describe: Callable[[Mapping[str, Any]], str]) -> Callable[[], str]:
    """What Prefect calls for the name of a run when it starts: the given name if a person gave it, otherwise a description."""

    def name() -> str:
        present = flow_run.name or "run"
        return describe(flow_run.parameters) if is_made_up(present) else present

    return name
