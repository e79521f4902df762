"""Trains the network on the training split and keeps the best weights by the validation split."""

import csv
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from resnet.core.classes import read_classes
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.core.tables import HISTORY_COLUMNS
from resnet.dataset.arrays import Split
from resnet.network.devices import share_among
from resnet.network.huge_pages import use_huge_pages
from resnet.network.precision import choose_precision
from resnet.network.startup import start_tensorflow
from tasks.stage.command import main
from tasks.stage.params import Section
from tasks.stage.signals import at_once, noted
from tasks.training.progress import Display
from tasks.training.resume import checkpoint_seconds, decisive, keeping, resume
from tasks.training.runs import begun, home, prune

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf
    from keras.optimizers.schedules import LearningRateSchedule

    from resnet.training.budget import Budget
    from resnet.training.loop import Progress, Trainer
    from resnet.training.state import Epoch


INPUTS = ("classes_json", "training", "validation", "initial_keras")  # arguments of `train`


class Train(Section):
    """Parameters of `train`, see `params.yaml`."""

    epochs: Annotated[int, Field(ge=1)]
    restarts: list[Annotated[int, Field(ge=1)]]
    batch_size: Annotated[int, Field(ge=2)]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    devices: Annotated[int, Field(ge=1)]
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Literal["none", "balanced"]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    flip: bool
    crop: Annotated[float, Field(gt=0, le=1)]
    trivial_augment: bool
    mixup: Annotated[float, Field(ge=0, le=10)]
    cutmix: Annotated[float, Field(ge=0, le=10)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    accumulate: Annotated[int, Field(ge=1)]
    freeze_epochs: Annotated[int, Field(ge=0)]
    unfrozen_rate: Annotated[float, Field(gt=0, le=1)]
    patience: Annotated[int, Field(ge=0)]
    budget_minutes: Annotated[float, Field(ge=0)]

    def check(self, whole: Mapping[str, Section]) -> None:
        """The phases follow each other, and what is done to an image leaves its meaning."""
        self._check_phases()
        if self.freeze_epochs and getattr(whole["build"], "weights", None) == "builtin/random":
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs}, but build.weights is builtin/random: there is nothing learned "
                "to keep while the head learns; set it to 0 or start from other weights."
            )
        if self.batch_size % (self.devices * self.accumulate):
            raise UserError(
                f"train.batch_size is {self.batch_size}, which cannot be divided into train.devices x train.accumulate = "
                f"{self.devices} x {self.accumulate} equal parts: change one of them."
            )
        if self.flip and getattr(whole["ingest"], "source", None) == "builtin/digits":
            raise UserError(
                "train.flip is true, but the mirror image of a digit is no digit or another one: set it to false for "
                "ingest.source builtin/digits."
            )

    def _check_phases(self) -> None:
        if any(one >= other for one, other in pairwise((*self.restarts, self.epochs))):
            raise UserError(
                f"train.restarts is {self.restarts} and must rise to less than train.epochs, which is {self.epochs}: to carry "
                "a run of 10 epochs on to 20, set train.restarts to [10] and train.epochs to 20."
            )
        if self.restarts and self.budget_minutes:
            raise UserError(
                f"train.restarts is {self.restarts} and train.budget_minutes {self.budget_minutes:g}, but a run with restarts "
                "has its ends by epochs: set one of them to [] or 0."
            )
        name, end = ("the first of train.restarts", self.restarts[0]) if self.restarts else ("train.epochs", self.epochs)
        if self.warmup_epochs >= end:
            raise UserError(
                f"train.warmup_epochs is {self.warmup_epochs:g} and must be less than {name}, which is {end}: "
                f"shorten the warm-up or {'restart later' if self.restarts else 'train for longer'}."
            )
        if self.freeze_epochs and self.freeze_epochs + self.warmup_epochs >= end:
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs} and warmup_epochs {self.warmup_epochs:g}, which together must be "
                f"less than {name}, which is {end}: shorten one of them or "
                f"{'restart later' if self.restarts else 'train for longer'}."
            )


def train(
    params: Train,
    *,
    seed: int,
    classes_json: Path,
    training: Path,
    validation: Path,
    initial_keras: Path,
    resnet_keras: Path,
    history_csv: Path,
    code: tuple[Path, ...],
) -> dict[str, Any]:
    """Decides the weights. Goes on from the last checkpoint of the same run, if there is one."""
    seconds = checkpoint_seconds()
    classes = read_classes(classes_json)
    training_split, validation_split = Split(training, len(classes)), Split(validation, len(classes))
    facts = decisive(params, seed, (classes_json, training, validation, initial_keras), code)  # INPUTS
    with at_once():
        gpus = start_tensorflow()
    from resnet.network.saving import load_model, save_model

    precision = choose_precision(params.precision)
    facts |= {"precision": precision, "machine.devices": gpus or ["CPU"]}
    with begun(home(), facts) as run:
        strategy = share_among(params.devices)
        with strategy.scope():
            model = load_model(initial_keras, classes, training_split.image_shape, precision)
        steps = len(training_split) // params.batch_size
        trainer = make_trainer(params, model, steps, precision, training_split.labels, strategy=strategy)
        resumed = resume(trainer.state, run, params)
        if resumed:
            _write_history(history_csv, trainer.state.history)
        with noted() as received, Display(params.epochs) as display, keeping(run, trainer.state, seconds, received) as keep:

            def on_step(progress: "Progress") -> None:
                display.step(progress)
                keep()

            def on_epoch(epoch: "Epoch") -> None:
                _write_history(history_csv, trainer.state.history)
                display.epoch(epoch)
                keep()

            trainer.fit(
                training_split,
                validation_split,
                epochs=params.epochs,
                batch_size=params.batch_size,
                seed=seed,
                on_step=on_step,
                on_validation_step=keep,
                on_epoch=on_epoch,
            )
            save_model(model, resnet_keras)  # while the last checkpoint is written
        if len(trainer.state.history) < params.epochs:
            print(f"train: ended after epoch {len(trainer.state.history)} of {params.epochs}, as patience or budget have it")
    prune(home())
    return {
        "gpus": gpus,
        "precision": precision,
        "resumed": resumed,
        "checkpoints": keep.cost(),
        "epoch_seconds": [round(epoch.seconds, 2) for epoch in trainer.state.history],
        "images_per_second": [round(epoch.images_per_second, 1) for epoch in trainer.state.history],
    }


def make_trainer(
    params: Train,
    model: Any,
    steps_per_epoch: int,
    precision: str = "float32",
    labels: "npt.NDArray[np.uint16] | None" = None,
    *,
    strategy: "tf.distribute.Strategy | None" = None,
) -> "Trainer":
    """The trainer that the parameters describe, for a model that computes in `precision`, and labels to balance.

    `strategy` is the one in whose scope the model was made.
    """
    import tensorflow as tf

    from resnet.training.augmentation import Augmentation
    from resnet.training.loop import Trainer
    from resnet.training.objective import balanced_weights
    from resnet.training.optimizers import make_optimizer

    schedule, budget = _make_schedule(params, steps_per_epoch)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        optimizer = make_optimizer(
            params.optimizer,
            schedule,
            params.momentum,
            params.weight_decay,
            model.trainable_variables,
            loss_scaling=precision == "float16",
            head_steps=params.freeze_epochs * steps_per_epoch,
        )
    balanced = None
    if params.class_weights == "balanced" and labels is not None:
        balanced = balanced_weights(labels, model.classes)
    return Trainer(
        model,
        optimizer,
        augmentation=Augmentation(
            flip=params.flip,
            shift=params.shift,
            crop=params.crop,
            trivial=params.trivial_augment,
            mixup=params.mixup,
            cutmix=params.cutmix,
        ),
        label_smoothing=params.label_smoothing,
        l2=0.0 if params.optimizer == "adamw" else params.weight_decay,
        class_weights=balanced,
        accumulate=params.accumulate,
        average=params.ema,
        head_epochs=params.freeze_epochs,
        patience=params.patience,
        budget=budget,
        strategy=strategy,
    )


def _make_schedule(params: Train, steps_per_epoch: int) -> "tuple[LearningRateSchedule, Budget | None]":
    """The learning rate over the steps, and the limit of time that can shorten it."""
    from resnet.training.budget import Budget
    from resnet.training.optimizers import HeadFirst, WarmRestarts, warmup_cosine

    ends = [max(1, epochs * steps_per_epoch) for epochs in (*params.restarts, params.epochs)]
    head_steps = params.freeze_epochs * steps_per_epoch
    peak = params.learning_rate * params.unfrozen_rate if head_steps else params.learning_rate
    steps = ends[0] - head_steps
    warmup_steps = min(round(params.warmup_epochs * steps_per_epoch), steps - 1)
    budget = None
    if params.budget_minutes:
        budget = Budget(60 * params.budget_minutes, steps_per_epoch, head_steps + warmup_steps, steps - warmup_steps)
    first = warmup_cosine(peak, steps, warmup_steps, cosine_steps=budget.cosine_steps if budget else None)
    if head_steps:
        first = HeadFirst(params.learning_rate, head_steps, first)
    later = [warmup_cosine(peak, end - start, 0) for start, end in pairwise(ends)]
    return (WarmRestarts([first, *later], ends[:-1]) if later else first), budget


def _write_history(path: Path, epochs: list["Epoch"]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HISTORY_COLUMNS)
        writer.writerows([f"{getattr(epoch, column):.6g}" for column in HISTORY_COLUMNS] for epoch in epochs)


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main("train"))
