"""Chooses a network and its epochs by the time that they take, and puts the recommended parameters together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commands.advice.forecast import Forecast, Timing, between, epochs_within, forecast
from commands.advice.rules import FEWEST, MOST, Case, Choice, Network, batch_size, candidates, decide, enough

if TYPE_CHECKING:
    from commands.advice.data_facts import DataFacts

Clock = Callable[[Network], Timing]  # measures a network on this machine
Preparation = Callable[[int], float]  # seconds of `preprocess` at a size; 0 if DVC has its result


@dataclass(frozen=True)
class Plan:
    """A recommendation.

    Attributes:
        choices: the parameters.
        forecast: of the run with them.
        epochs: that fit into the time; 0 if none does. The run of the choices then has `FEWEST`.
        timings: what was measured.
    """

    choices: list[Choice]
    forecast: Forecast
    epochs: int
    timings: dict[Network, Timing]


def make_plan(data: "DataFacts", base: Mapping[str, Any], minutes: float, *, clock: Clock, preparation: Preparation) -> Plan:
    """Chooses the first of the `candidates` that trains for enough epochs.

    Args:
        data: the images.
        base: `params.yaml`, by name.
        minutes: for the whole run.
        clock: measures a network.
        preparation: seconds of `preprocess` at a size.
    """
    planner = _Planner(data, base, minutes, clock, preparation)
    network = planner.choose(candidates(data, base))
    timing = planner.measured(network)
    fitting = min(MOST, planner.epochs(network, timing))
    case = Case(data, base, network, fitting or FEWEST)
    expected = forecast(timing, data, epochs=case.epochs, **planner.arguments(network))
    return Plan(decide(case), expected, fitting, planner.timings)


class _Planner:
    def __init__(
        self, data: "DataFacts", base: Mapping[str, Any], minutes: float, clock: Clock, preparation: Preparation
    ) -> None:
        self.timings: dict[Network, Timing] = {}
        self._data = data
        self._base = base
        self._minutes = minutes
        self._clock = clock
        self._preparation = preparation
        self._prepared: dict[int, float] = {}

    def choose(self, networks: list[Network]) -> Network:
        """The first network with enough epochs, or else with half of them, or with `FEWEST`; or else the last, the fastest."""
        for part in (1.0, 0.5, 0.0):
            for network in networks[:-1]:
                least = max(FEWEST, int(part * enough(self._data, network)))
                if self.epochs(network, self._estimate(network, networks)) >= least:
                    return network
        return networks[-1]

    def epochs(self, network: Network, timing: Timing) -> int:
        return epochs_within(60 * self._minutes, timing, self._data, **self.arguments(network))

    def arguments(self, network: Network) -> Any:
        """Arguments of `forecast` and `epochs_within` that do not depend on the timing."""
        if network.size not in self._prepared:
            self._prepared[network.size] = self._preparation(network.size)
        return {
            "batch_size": batch_size(self._data, self._base),
            "samples": self._base["evaluate.samples"],
            "preprocess": self._prepared[network.size],
        }

    def measured(self, network: Network) -> Timing:
        if network not in self.timings:
            self.timings[network] = self._clock(network)
        return self.timings[network]

    def _estimate(self, network: Network, networks: list[Network]) -> Timing:
        """The timing of a network: of three sizes or more, only two are measured, because a measurement takes seconds."""
        sizes = sorted(other.size for other in networks if (other.depth, other.stem) == (network.depth, network.stem))
        if network in self.timings or len(sizes) < 3:
            return self.measured(network)
        anchors = [Network(network.depth, network.stem, size) for size in (sizes[0], sizes[len(sizes) // 2])]
        if network in anchors:
            return self.measured(network)
        low, high = ((anchor.size, self.measured(anchor)) for anchor in anchors)
        return between(low, high, network.size)
