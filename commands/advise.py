"""Recommend parameters for the images and the time that you have: prints the command that runs with them.

It reads the images first, if `ingest` has not, and measures a few training steps, which takes up to a minute. Nothing is
trained. A value with "not measured" in its line has no figure of this project behind it.
"""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.advice.forecast import Timing, over_sizes
from commands.advice.named_source import named
from commands.advice.parameters import changes, committed, dvc_line, prefect_line, with_values
from commands.advice.plan import Plan, make_plan
from commands.advice.rules import Network, batch_size, enough, size_schedule
from commands.advice.source import ingest_up_to_date, is_prepared, name_source
from resnet.core.errors import UserError, printable
from tasks.stage.graph import DVC_YAML, project_paths, read_graph
from tasks.stage.params import PARAMS_YAML, load_params
from tasks.stage.signals import EndedError, at_once, endable
from tasks.training.changes import parameters

if TYPE_CHECKING:
    from commands.advice.data_facts import DataFacts, Sample

_LONGEST = 100_000  # minutes, ten weeks
# Shown in any case: a person who knows the images may decide otherwise.
_BY_CONTENT = ("train.flip", "train.crop")
_NO_SIZES: dict[str, Any] = {
    "train.size_schedule": [],
    "preprocess.training_size": None,
}  # those of params.yaml are for other images


def advise(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]", help="The images, as in ingest.source, which it sets; by default that of params.yaml."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(metavar="MINUTES", help="Time for the whole run.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Prints the recommendation; unless it succeeds, `params.yaml` is as before.

    Returns:
        0, or 128 plus the number of the signal that ended it.

    Raises:
        UserError: there is no time for one epoch, or the images or parameters cannot be used.
    """
    if not 0 < minutes <= _LONGEST:  # NaN too
        raise UserError(
            f"--minutes is {minutes:g}, but it must be above 0 and at most {_LONGEST:,}: name the minutes that a run may take."
        )
    load_params(PARAMS_YAML, read_graph(DVC_YAML))
    try:
        with endable(), named(None if source is None else name_source(source)) as restore:
            _advise(minutes, restore, names_source=source is not None, as_json=as_json)
    except EndedError as end:
        print(f"advise: {end}", file=sys.stderr)
        return end.code
    return 0


def _advise(minutes: float, restore: Callable[[], None], *, names_source: bool, as_json: bool) -> None:
    ingest_up_to_date()
    text = PARAMS_YAML.read_text("utf-8")
    params = load_params(PARAMS_YAML, read_graph(DVC_YAML))
    from commands.advice.data_facts import read_facts

    data, sample = read_facts(project_paths()["raw"], params)
    print(f"advise: {printable(data.sentence())}", file=sys.stderr, flush=True)
    plan = _measured_plan(text, data, sample, minutes, restore)
    advice = Advice(text, data, plan, names_source=names_source)
    if not plan.epochs:
        raise UserError(
            f"--minutes is {minutes:g}, which is too few for one epoch: the smallest run that makes sense takes about "
            f"{_minutes(plan.forecast.minutes)}, {advice.command}"
        )
    print(json.dumps(advice.tree(), indent=2) if as_json else advice.text())


def _measured_plan(text: str, data: "DataFacts", sample: "Sample", minutes: float, restore: Callable[[], None]) -> Plan:
    from commands.advice.stopwatch import Stopwatch, preprocess_seconds

    base = parameters(text)
    with at_once(lambda _: restore()):  # while TensorFlow is imported
        stopwatch = Stopwatch(data.classes)

    def clock(network: Network) -> Timing:
        print(f"advise: measures ResNet-{network.depth} at {network.size} pixels", file=sys.stderr, flush=True)
        values = network.values() | {"train.batch_size": batch_size(data, base), **_NO_SIZES}
        params = with_values(text, values)
        # A run that is too short for the recipe with several sizes takes longer than this.
        sizes = size_schedule(data, network, enough(data, network)) or [network.size]
        with redirect_stdout(sys.stderr):  # the precision is printed
            found = {size: stopwatch.time(params, None if size == network.size else size) for size in sorted({*sizes})}
        return over_sizes([found[size] for size in sizes])

    def preparation(size: int) -> float:
        values = {"preprocess.image_size": size, "preprocess.validation_share": data.validation_share, **_NO_SIZES}
        section = with_values(text, values).sections["preprocess"].model_dump()
        return 0.0 if is_prepared(section) else preprocess_seconds(sample, sum(data.images), size)

    return make_plan(data, base, minutes, clock=clock, preparation=preparation)


class Advice:
    """A plan as commands and as text.

    Args:
        text: of `params.yaml`.
        data: the images.
        plan: the recommendation.
        names_source: whether the command names the source.

    Raises:
        UserError: the parameters conflict with others in `params.yaml`.
    """

    def __init__(self, text: str, data: "DataFacts", plan: Plan, *, names_source: bool = False) -> None:
        values = {choice.name: choice.value for choice in plan.choices}
        with_values(text, values)
        base = parameters(text)
        self._data = data
        self._plan = plan
        self._changed = changes(values, base)
        since_commit = changes(base | values, committed(text))
        # The source too, in case `params.yaml` is taken back before the run, as `advise` does if there is too little time.
        name = "ingest.source"
        source = {name: base[name]} if names_source or name in since_commit else {}
        self.command = dvc_line(source | self._changed)
        self.prefect = prefect_line(since_commit)

    def text(self) -> str:
        """The command and its time, a line for each parameter, and the command for Prefect.

        Values that stay as they are without a measurement are left out, but for those that the content of the images decides.
        """
        parts = {"preprocess": self._plan.forecast.preprocess, "train": self._plan.forecast.train}
        parts["the rest"] = self._plan.forecast.seconds - sum(parts.values())
        detail = ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in parts.items() if seconds)
        lines = [self.command, f"    about {_minutes(self._plan.forecast.minutes)}: {detail}"]
        for choice in self._plan.choices:
            if choice.name not in self._changed and not choice.measured and choice.name not in _BY_CONTENT:
                continue
            kept = "" if choice.name in self._changed else " (as it is)"
            lines.append(f"    {choice.name} = {json.dumps(choice.value)}{kept}: {printable(choice.why)}")
        return "\n".join([*lines, "with Prefect, from the last commit:", self.prefect])

    def tree(self) -> dict[str, Any]:
        """The same for programs."""
        forecast = self._plan.forecast
        return {
            "command": self.command,
            "prefect": self.prefect,
            "minutes": round(forecast.minutes, 2),
            "seconds": {name: round(seconds, 1) for name, seconds in vars(forecast).items()},
            "parameters": {
                choice.name: {"value": choice.value, "why": choice.why, "measured": choice.measured}
                for choice in self._plan.choices
            },
            "data": {**vars(self._data), "mirror": vars(self._data.mirror)},
            "timings": [{**vars(network), **vars(timing)} for network, timing in self._plan.timings.items()],
        }


def _minutes(number: float) -> str:
    return f"{number:.1f} minutes" if number < 10 else f"{number:.0f} minutes"
