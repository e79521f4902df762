"""What a run shows in Prefect's UI beside its log: training's progress, then figures, parameters, hashes and curves."""

import re
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

_EPOCH = re.compile(r"epoch (\d+)/(\d+): (.*)")


class Progress:
    """Turns the line that training prints after each epoch into an artifact that moves."""

    def __init__(self, stage: str) -> None:
        """Takes the stage whose lines are seen."""
        self._stage = stage
        self._artifact: UUID | None = None

    def see(self, line: str) -> None:
        """Takes note of a line of output."""
        match = _EPOCH.fullmatch(line)
        if match is None or TaskRunContext.get() is None:
            return
        share, words = 100 * int(match[1]) / int(match[2]), f"epoch {match[1]} of {match[2]}: {match[3]}"
        if self._artifact is None:
            made: Any = create_progress_artifact(progress=share, key=f"{self._stage}-progress", description=words)
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, progress=share, description=words)
