"""A training whose state has about 100 bytes, and the oracle: what its weights must be, computed without the program."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from resnet.training.state import Epoch
from tasks.training.fingerprint import Facts

STEPS = 2  # in an epoch

Position = tuple[int, int]  # epoch and step
Weights = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Toy:
    """The parameters of a training.

    Attributes:
        epochs: of the run.
        phases: the ends of its earlier phases.
        number: any; it decides the weights.
    """

    epochs: int = 2
    phases: tuple[int, ...] = ()
    number: int = 0

    @property
    def restarts(self) -> list[int]:
        """The phases, as the program calls them."""
        return list(self.phases)

    @property
    def facts(self) -> Facts:
        """What decides the weights."""
        return {"train.epochs": self.epochs, "train.restarts": self.restarts, "number": self.number}

    @cached_property
    def run(self) -> str:
        """The name of the folder of the run."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def sources(self) -> "list[Toy]":
        """The run and the shorter ones that it continues."""
        shorter = [Toy(end, self.phases[:number], self.number) for number, end in enumerate(self.phases)]
        return [self, *reversed(shorter)]


TOYS = (Toy(), Toy(number=1), Toy(3, (2,)))


class Variable:
    """Has what a training state needs of a variable and of a model."""

    shape = (8,)

    def __init__(self) -> None:
        self.array: Weights = np.arange(8, dtype=np.uint32)
        self.value = self

    def numpy(self) -> Weights:
        return self.array

    def assign(self, array: Weights) -> None:
        self.array = array

    def get_weights(self) -> list[Weights]:
        return [self.array]


def next_weights(weights: Weights, epoch: int, number: int) -> Weights:
    """A step of training."""
    return _next(weights.tobytes(), 1013904223 + 7 * epoch + number)


@cache
def _next(weights: bytes, added: int) -> Weights:
    following = np.frombuffer(weights, np.uint32) * np.uint32(1664525) + np.uint32(added)
    following.flags.writeable = False
    return following


@cache
def result(epoch: int, number: int) -> Epoch:
    """The result of an epoch; the second one is the best."""
    return Epoch(epoch, 1.0 / epoch, 0.5, (0.9, 0.2, 0.4)[epoch - 1] + number, 0.5, 0.1, 0.0, 0.0)


@cache
def expected(number: int, position: Position) -> tuple[bytes, bytes]:
    """The weights at a position, and the best ones so far."""
    weights, best, at = np.arange(8, dtype=np.uint32), b"", (1, 0)
    while at != position:
        epoch, done = at
        if done < STEPS:
            weights, at = next_weights(weights, epoch, number), (epoch, done + 1)
        else:
            best = weights.tobytes() if epoch <= 2 else best
            at = (epoch + 1, 0)
    return weights.tobytes(), best


@cache
def history(number: int, epochs: int) -> bytes:
    """The file of results after some epochs."""
    return encoded([result(epoch, number) for epoch in range(1, epochs + 1)])


def encoded(epochs: list[Epoch]) -> bytes:
    """The file of results."""
    return _encoded(tuple((epoch.epoch, epoch.loss, epoch.val_loss) for epoch in epochs))


@lru_cache(10_000)
def _encoded(rows: tuple[tuple[int, float, float], ...]) -> bytes:
    return json.dumps(rows).encode()


def model(toy: Toy) -> bytes:
    """The file of the weights at the end."""
    return expected(toy.number, (toy.epochs + 1, 0))[1]


MODELS = {b"first", *(model(toy) for toy in TOYS)}
HISTORIES = {b"[]"} | {history(toy.number, epochs) for toy in TOYS for epochs in range(toy.epochs + 1)}


_STAGES = ("a", "b")
DVC_YAML = "".join(["stages:\n", *(f"  {name}:\n    cmd: {name}\n    outs: [{name}.bin]\n" for name in _STAGES)]).encode()


def dvc_lock(generation: int) -> bytes:
    """A lock file of DVC, with two stages."""
    digest = hashlib.md5(str(generation).encode(), usedforsecurity=False).hexdigest()
    stages = [f"  {name}:\n    cmd: {name}\n    outs:\n    - path: {name}.bin\n      md5: {digest}\n" for name in _STAGES]
    return ("schema: '2.0'\nstages:\n" + "".join(stages)).encode()
