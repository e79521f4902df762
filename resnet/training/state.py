"""The state of a training run: everything that is needed to resume it with the same result, bit for bit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

    from resnet.training.averaging import MovingAverage

_LARGEST_NUMBER = 8  # bytes
_ROOM = 1024  # bytes of text for an array or an epoch; they need less than half of it


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch.

    Losses are plain cross-entropies in nats, without label smoothing and weight decay, so that training and validation
    are comparable. The figures of training are means over the augmented images of the epoch, while the weights change.

    Attributes:
        epoch: from 1.
        loss: of training.
        accuracy: of training, in [0, 1].
        val_loss: of validation, after the epoch.
        val_accuracy: of validation, after the epoch, in [0, 1].
        learning_rate: of the last step of the epoch.
        seconds: of training and validation together; of a resumed epoch, since the resume.
        images_per_second: of training alone; of a resumed epoch, since the resume, or until it if no step was left.
        size: height and width of the training images in pixels.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float
    size: int = 0


@dataclass(frozen=True)
class Progress:
    """The state of an epoch after a step.

    Attributes:
        epoch: from 1.
        step: from 1.
        steps: of the whole epoch.
        loss: mean cross-entropy of the epoch so far, in nats.
        accuracy: mean of the epoch so far, in [0, 1].
        learning_rate: of this step.
        images_per_second: mean since the epoch started or was resumed.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state of a run.

    Attributes:
        arrays: copies in main memory, by name.
        facts: everything else. JSON must keep it unchanged, as it does a Python float.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


class TrainingState:
    """Everything that decides how a training run continues, in one place.

    A value that must survive an interruption is a variable (in `variables`), a list of arrays (in `snapshot` and `restore`, as
    `best` is) or a number among the facts. Everything else, such as the order of the images, follows from `epoch`, `step`
    and the parameters.

    Args:
        variables: by groups, in an order that is the same in every process.

    Attributes:
        epoch: the current one, from 1; after the end of the run it is one more than the number of epochs.
        step: steps done in the current epoch; after the last one, validation still follows.
        learning_rate: of the last step.
        images_per_second: at the last step, see `Progress`.
        history: of the finished epochs.
        best: weights of the model after the epoch with the lowest validation loss; empty before the end of the first epoch.
    """

    def __init__(self, **variables: Sequence["keras.Variable"]) -> None:
        self._variables = {f"{group}/{number:05d}": one for group in variables for number, one in enumerate(variables[group])}
        self.epoch = 1
        self.step = 0
        self.learning_rate = 0.0
        self.images_per_second = 0.0
        self.history: list[Epoch] = []
        self.best: list[npt.NDArray[Any]] = []

    @property
    def least(self) -> float:
        """The lowest validation loss so far."""
        return min((epoch.val_loss for epoch in self.history), default=math.inf)

    def most_bytes(self, epochs: int) -> int:
        """Bytes that a checkpoint of this state has at most after so many epochs; it usually has a third of them."""
        shapes = [tuple(variable.shape) for variable in self._variables.values()]
        numbers = 2 * sum(map(math.prod, shapes))  # no more of them are weights that were best
        return _LARGEST_NUMBER * numbers + _ROOM * (2 * len(shapes) + epochs + 1)

    def finish_epoch(self, result: Epoch, model: "keras.Model | MovingAverage") -> None:
        """Adds the results of an epoch, keeps the weights if it is the best one, and moves to the next epoch.

        The best epoch is the one with the lowest loss, not the highest accuracy: on a small validation split many epochs tie in
        accuracy, and a lucky early one would win.
        """
        if result.val_loss < self.least:
            self.best = model.get_weights()
        self.history.append(result)
        self.epoch += 1
        self.step = 0

    def snapshot(self) -> Snapshot:
        """Copies the state to main memory."""
        arrays = {name: np.asarray(variable.value.numpy()) for name, variable in self._variables.items()}
        # Not copied, because they are only ever replaced, never changed in place.
        arrays |= {f"best/{number:05d}": array for number, array in enumerate(self.best)}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": self.learning_rate,
            "images_per_second": self.images_per_second,
            "history": [asdict(epoch) for epoch in self.history],
        }
        return Snapshot(arrays, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Sets the state to a snapshot.

        Raises:
            ValueError: the snapshot is of a run with other variables.
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
        self.images_per_second = snapshot.facts["images_per_second"]
        self.history = [Epoch(**row) for row in snapshot.facts["history"]]
        self.best = best
