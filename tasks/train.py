"""Trains the network on the training split and keeps the best weights by the validation split."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from tqdm import tqdm

from resnet.data.arrays import Split
from resnet.data.classes import read_classes
from resnet.errors import UserError
from resnet.files import replacing
from tasks.backend import choose_precision, start_tensorflow, use_huge_pages
from tasks.history import COLUMNS
from tasks.params import Section
from tasks.stage import main

if TYPE_CHECKING:
    from resnet.training.loop import Progress, Trainer
    from resnet.training.state import Epoch


class Train(Section):
    """Parameters of `train`, see `params.yaml`."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    flip: bool

    def check(self, whole: Mapping[str, Section]) -> None:
        """The warm-up ends before the training does, and augmentation keeps what an image means."""
        if self.warmup_epochs >= self.epochs:
            raise UserError(
                f"train.warmup_epochs is {self.warmup_epochs:g} and must be less than train.epochs, which is {self.epochs}: "
                "shorten the warm-up or train for longer."
            )
        if self.flip and getattr(whole["ingest"], "source", None) == "digits":
            raise UserError(
                "train.flip is true, but the mirror image of a digit is no digit or another one: set it to false for "
                "ingest.source digits."
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
) -> dict[str, Any]:
    """Decides the weights."""
    classes = read_classes(classes_json)
    training_split, validation_split = Split(training, len(classes)), Split(validation, len(classes))
    gpus = start_tensorflow()
    from resnet.saving import load_model, save_model

    precision = choose_precision(params.precision)
    model = load_model(initial_keras, classes, training_split.image_shape, precision)
    trainer = make_trainer(params, model, len(training_split) // params.batch_size, precision)
    epochs: list[Epoch] = []
    with _Display(params.epochs) as display:

        def on_epoch(epoch: "Epoch") -> None:
            epochs.append(epoch)
            _write_history(history_csv, epochs)
            display.epoch(epoch)

        trainer.fit(
            training_split,
            validation_split,
            epochs=params.epochs,
            batch_size=params.batch_size,
            seed=seed,
            on_step=display.step,
            on_epoch=on_epoch,
        )
    save_model(model, resnet_keras)
    return {
        "gpus": gpus,
        "precision": precision,
        "epoch_seconds": [round(epoch.seconds, 2) for epoch in epochs],
        "images_per_second": [round(epoch.images_per_second, 1) for epoch in epochs],
    }


def make_trainer(params: Train, model: Any, steps_per_epoch: int, precision: str = "float32") -> "Trainer":
    """The trainer that the parameters describe, for a model that computes in `precision`."""
    from resnet.training.augmentation import Augmentation
    from resnet.training.loop import Trainer
    from resnet.training.optimizers import make_optimizer, warmup_cosine

    steps = max(1, params.epochs * steps_per_epoch)
    warmup_steps = min(round(params.warmup_epochs * steps_per_epoch), steps - 1)
    schedule = warmup_cosine(params.learning_rate, steps, warmup_steps)
    optimizer = make_optimizer(
        params.optimizer,
        schedule,
        params.momentum,
        params.weight_decay,
        model.trainable_variables,
        loss_scaling=precision == "float16",
    )
    return Trainer(
        model,
        optimizer,
        augmentation=Augmentation(flip=params.flip, shift=params.shift),
        label_smoothing=params.label_smoothing,
        l2=0.0 if params.optimizer == "adamw" else params.weight_decay,
    )


def _write_history(path: Path, epochs: list["Epoch"]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([f"{getattr(epoch, column):.6g}" for column in COLUMNS] for epoch in epochs)


class _Display:
    """A progress bar over the steps of an epoch on a terminal; a line after each epoch there and elsewhere."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar: tqdm[Any] = tqdm(unit="step", leave=False, disable=None, dynamic_ncols=True)

    def __enter__(self) -> "_Display":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, progress: "Progress") -> None:
        if progress.step == 1:
            self._bar.reset(total=progress.steps)
            self._bar.set_description(f"epoch {progress.epoch}/{self._epochs}")
        self._bar.set_postfix_str(
            f"loss {progress.loss:.4f}, accuracy {progress.accuracy:.4f}, {progress.images_per_second:.0f} images/s",
            refresh=False,
        )
        self._bar.update()

    def epoch(self, epoch: "Epoch") -> None:
        tqdm.write(
            f"epoch {epoch.epoch}/{self._epochs}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}, "
            f"val_loss {epoch.val_loss:.4f}, val_accuracy {epoch.val_accuracy:.4f}, "
            f"{epoch.images_per_second:.0f} images/s, {epoch.seconds:.1f} s"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main("train"))
