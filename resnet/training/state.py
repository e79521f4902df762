"""Where a training run is: all that it needs to go on as if it had never stopped."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

    from resnet.training.averaging import MovingAverage


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Losses are plain cross-entropies in nats, without label smoothing and weight decay, so that training and validation
    compare. Training figures are means over the epoch's augmented images while the weights were changing.

    Attributes:
        epoch: from 1.
        loss: of training.
        accuracy: of training, in [0, 1].
        val_loss: of validation, after the epoch.
        val_accuracy: likewise.
        learning_rate: of the epoch's last step.
        seconds: of training and validation together, since the run began or was resumed.
        images_per_second: of training alone, likewise.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Snapshot:
    """A state apart from the run that it was taken of.

    Attributes:
        arrays: copies in main memory, by name.
        facts: the rest, which must survive JSON unchanged; a Python float does.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


class TrainingState:
    """All that decides how a training run goes on, in one place.

    What is to survive an interruption is one of these: a variable (in `variables`), a list of arrays (in `snapshot` and
    `restore`, as `best` is), or a number among the facts. Whatever else a run needs, such as the order of the images,
    follows from `epoch`, `step` and parameters.

    Args:
        variables: by groups, in an order that is the same in every process.

    Attributes:
        epoch: that is under way, from 1; one more than there are when the run has finished.
        step: steps done in it; when that is all of them, its validation is still to come.
        learning_rate: of the last step.
        history: of the epochs that have finished.
        best: the model's weights after the epoch of least validation loss; empty before the first has ended.
    """

    def __init__(self, **variables: Sequence["keras.Variable"]) -> None:
        self._variables = {f"{group}/{number:05d}": one for group in variables for number, one in enumerate(variables[group])}
        self.epoch = 1
        self.step = 0
        self.learning_rate = 0.0
        self.history: list[Epoch] = []
        self.best: list[npt.NDArray[Any]] = []

    @property
    def least(self) -> float:
        """The least validation loss so far."""
        return min((epoch.val_loss for epoch in self.history), default=math.inf)

    def finish_epoch(self, result: Epoch, model: "keras.Model | MovingAverage") -> None:
        """Notes what an epoch came to, keeps the weights if it was the best, and turns to the next.

        Least loss rather than most accuracy: on a small validation split many epochs tie in accuracy, and a lucky early one
        would win.
        """
        if result.val_loss < self.least:
            self.best = model.get_weights()
        self.history.append(result)
        self.epoch += 1
        self.step = 0

    def snapshot(self) -> Snapshot:
        """Copies the state to main memory."""
        arrays = {name: np.asarray(variable.value.numpy()) for name, variable in self._variables.items()}
        # No copies: they are replaced, never changed.
        arrays |= {f"best/{number:05d}": array for number, array in enumerate(self.best)}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": self.learning_rate,
            "history": [asdict(epoch) for epoch in self.history],
        }
        return Snapshot(arrays, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the state the one that a snapshot was taken of.

        Raises:
            ValueError: it was taken of a run with other variables.
        """
        best = [snapshot.arrays[name] for name in sorted(snapshot.arrays) if name.startswith("best/")]
        expected = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        found = {name: array.shape for name, array in snapshot.arrays.items() if not name.startswith("best/")}
        if found != expected:
            odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            raise ValueError(f"a snapshot of these variables was expected, but it differs in {', '.join(odd[:5])}.")
        for name, variable in self._variables.items():
            variable.assign(snapshot.arrays[name])
        self.epoch, self.step = snapshot.facts["epoch"], snapshot.facts["step"]
        self.learning_rate = snapshot.facts["learning_rate"]
        self.history = [Epoch(**row) for row in snapshot.facts["history"]]
        self.best = best
