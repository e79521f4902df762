"""The learning curves of a run so far, from the events that training records. `tasks/training/events.py` describes these.

Other programs call `read_points` for a file that is being written, or feed the events that they read to `Points.see`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


class Points:
    """The points of the curves: at most one for each step and one for each epoch.

    Attributes:
        start: the latest event `start`; empty before it.
        end: the event `end`; empty before it, and after a kill.
        time: of the last event, in seconds since 1970.
    """

    def __init__(self) -> None:
        self.start: Event = {}
        self.end: Event = {}
        self.time = 0.0
        self._steps: dict[tuple[int, int], Event] = {}
        self._epochs: dict[int, Event] = {}

    @property
    def steps(self) -> list[Event]:
        """The events `step`, in the order of training."""
        return [self._steps[place] for place in sorted(self._steps)]

    @property
    def epochs(self) -> list[Event]:
        """The events `epoch`, in their order."""
        return [self._epochs[epoch] for epoch in sorted(self._epochs)]

    def see(self, event: Event) -> None:
        """Takes an event into account; ignores one of an unknown kind or form."""
        try:
            kind = event["event"]
            if kind == "start":
                self.start, self.end = event, {}
                self.forget_after(event["epoch"], event["step"])
            elif kind == "step":
                self._steps[int(event["epoch"]), int(event["step"])] = event
            elif kind == "epoch":
                self._epochs[int(event["epoch"])] = event
            elif kind == "end":
                self.end = event
            self.time = max(self.time, float(event["time"]))
        except (LookupError, TypeError, ValueError):
            return

    def forget_after(self, epoch: int, step: int) -> None:
        """Forgets what a run repeats that resumes at this epoch, after this step."""
        self._steps = {place: event for place, event in self._steps.items() if place <= (epoch, step)}
        self._epochs = {number: event for number, event in self._epochs.items() if number < epoch}

    def __iter__(self) -> Iterator[Event]:
        """The events `step` and `epoch` in the order of training."""
        places = [((epoch, step), event) for (epoch, step), event in self._steps.items()]
        after_all_steps = float("inf")
        ends = [((epoch, after_all_steps), event) for epoch, event in self._epochs.items()]
        return iter([event for _, event in sorted([*places, *ends], key=lambda one: one[0])])


def read_points(path: Path) -> Points:
    """The points in a file of events so far; none if there is no such file. An incomplete last line is left out."""
    points = Points()
    try:
        content = path.read_bytes()
    except OSError:
        return points
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # incomplete
            continue
        if isinstance(event, dict):
            points.see(event)
    return points
