"""The learning curves of a run so far, from the events that training records. `tasks/training/events.py` describes these.

Other programs call `read_points` for a file that is being written, or feed the events that they read to `Points.see`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]

_MOST = 10**9  # of epochs and of steps in an epoch
_LATEST = 1e11  # seconds since 1970: the functions of the operating system fail at much later times


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_positive(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_figure(value: object) -> bool:
    """NaN and infinity are figures, too: a loss may overflow."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= _MOST)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MOST


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < _LATEST


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_square(value: object) -> bool:
    """Whether it is null or a matrix of counts."""
    if value is None:
        return True
    rows = value if isinstance(value, list) else [None]
    return all(isinstance(row, list) and len(row) == len(rows) and all(map(_is_count, row)) for row in rows)


_Fields = dict[str, Callable[[object], bool]]

_FIGURES: _Fields = dict.fromkeys(("loss", "accuracy", "learning_rate", "images_per_second"), _is_figure)
_VALIDATION: _Fields = dict.fromkeys(("val_loss", "val_accuracy"), _is_figure)
_REQUIRED: dict[str, _Fields] = {
    "start": {"epochs": _is_positive, "steps": _is_positive, "epoch": _is_positive, "step": _is_count},
    "step": {"epoch": _is_positive, "step": _is_positive, "steps": _is_positive} | _FIGURES,
    "epoch": {"epoch": _is_positive, "seconds": _is_seconds} | _FIGURES | _VALIDATION,
    "end": {"outcome": _is_text},
}
_OPTIONAL: _Fields = {
    "run": _is_text,
    "ended": _is_truth,
    "name": _is_text,
    "about": _is_table,
    "precision": _is_text,
    "devices": _are_texts,
    "confusion": _is_square,
    "message": _is_text,
}


def is_sound(event: Event) -> bool:
    """Whether an event is of a known kind and has the fields of this kind, each with a value that can be shown.

    Everybody who reads a record asks this: it may be cut off, damaged, or of another version.
    """
    kind = event.get("event")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None or not _is_time(event.get("time")):
        return False
    return all(name in event and fits(event[name]) for name, fits in required.items()) and all(
        fits(event[name]) for name, fits in _OPTIONAL.items() if name in event
    )


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
        if not is_sound(event):
            return
        kind = event["event"]
        if kind == "start":
            self.start, self.end = event, {}
            self.forget_after(event["epoch"], event["step"])
        elif kind == "step":
            self._steps[event["epoch"], event["step"]] = event
        elif kind == "epoch":
            self._epochs[event["epoch"]] = event
        else:
            self.end = event
        self.time = max(self.time, event["time"])

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
        except (ValueError, RecursionError):  # incomplete, or brackets without an end
            continue
        if isinstance(event, dict):
            points.see(event)
    return points
