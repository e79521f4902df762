"""Trains the network on the training split and keeps the weights that are best on the validation split."""

import csv
import json
import sys
from dataclasses import fields
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
from tasks.stage.params import MOST, Params, Section
from tasks.stage.signals import at_once, noted
from tasks.training.events import Events
from tasks.training.live import Live
from tasks.training.progress import Display, say
from tasks.training.resume import checkpoint_seconds, decisive, keeping, resume, sources
from tasks.training.runs import begun, home, prune

if TYPE_CHECKING:
    from resnet.training.recipe import Recipe
    from resnet.training.state import Epoch, Progress

INPUTS = ("classes_json", "training", "validation", "initial_keras")  # keywords of `train`
_SHOWN = 8  # augmented images for TensorBoard


class Train(Section):
    """Parameters of the stage `train`."""

    epochs: int = Field(ge=1, le=MOST, description="passes over the training images")
    restarts: list[Annotated[int, Field(ge=1, le=MOST)]] = Field(
        description="epochs after which the learning rate restarts; [10] with epochs 20 continues a finished run of 10"
    )
    batch_size: int = Field(ge=2, le=MOST, description="images in a step")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        description="bfloat16, float16 or float32; auto takes the fastest one on this machine"
    )
    devices: int = Field(ge=1, le=MOST, description="number of GPUs that share each batch; increase batch_size with it")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(description="adam, adamw or sgd")
    learning_rate: float = Field(
        gt=0, le=10, description="peak value, after the warm-up; then it decreases to zero along a cosine"
    )
    warmup_epochs: float = Field(
        ge=0,
        description="epochs in which the learning rate rises from near zero; half the run if it has no more epochs",
    )
    momentum: float = Field(ge=0, lt=1, description="momentum of sgd, or beta_1 of adam and adamw")
    weight_decay: float = Field(
        ge=0, lt=1, description="for kernels: an L2 term for adam and sgd (usually 0.0001), decoupled for adamw (usually 0.05)"
    )
    label_smoothing: float = Field(ge=0, lt=1, description="share of the target that is spread evenly over all classes")
    class_weights: Literal["none", "balanced"] = Field(
        description="balanced weights each image by the rarity of its class; none weights all images equally"
    )
    shift: float = Field(ge=0, le=0.5, description="largest random shift, as a share of the side")
    flip: bool = Field(description="mirror half of the images; not if that changes their meaning, as with digits")
    crop: float = Field(
        gt=0, le=1, description="smallest share of the area that a random crop keeps; 1 disables it, 0.08 is usual for ImageNet"
    )
    trivial_augment: bool = Field(description="TrivialAugment: a random change of shape or colour, one of 13, for each image")
    mixup: float = Field(
        ge=0, le=10, description="alpha of mixup, a weighted mean of two images and labels; 0 disables it, 0.2 is usual"
    )
    cutmix: float = Field(
        ge=0, le=10, description="alpha of CutMix, which pastes a part of one image into another; 0 disables it, 1 is usual"
    )
    ema: float = Field(
        ge=0, lt=1, description="decay of a moving average of the weights, which is kept; 0 disables it, 0.999 for many steps"
    )
    accumulate: int = Field(
        ge=1, le=MOST, description="number of parts of a batch that are computed one after another, to save memory"
    )
    freeze_epochs: int = Field(
        ge=0, le=MOST, description="first epochs, in which only the head is trained; for weights that are not random"
    )
    unfrozen_rate: float = Field(gt=0, le=1, description="factor of learning_rate after the first freeze_epochs epochs")
    patience: int = Field(
        ge=0, le=MOST, description="epochs without a lower validation loss before early stopping; 0 disables it"
    )
    budget_minutes: float = Field(
        ge=0, description="time limit that shortens training; the result then depends on speed; 0 disables it"
    )

    def recipe(self) -> "Recipe":
        """The parameters that the trainer needs."""
        from resnet.training.recipe import Recipe

        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})

    def check(self, whole: Params) -> None:
        """The phases follow each other, batches can be divided, and the augmentation suits the images."""
        self._check_phases()
        if self.freeze_epochs and whole.value("build.weights", str) == "builtin/random":
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs}, but build.weights is builtin/random, so the frozen layers would "
                "not have learned anything: set it to 0 or start from other weights."
            )
        if self.batch_size % (self.devices * self.accumulate):
            raise UserError(
                f"train.batch_size is {self.batch_size}, which cannot be divided into train.devices x train.accumulate = "
                f"{self.devices} x {self.accumulate} equal parts: change one of them."
            )
        if self.flip and whole.value("ingest.source", str) == "builtin/digits":
            raise UserError(
                "train.flip is true, but the mirror image of a digit is not the same digit: set it to false for ingest.source "
                "builtin/digits."
            )

    def _check_phases(self) -> None:
        if any(one >= other for one, other in pairwise((*self.restarts, self.epochs))):
            raise UserError(
                f"train.restarts is {self.restarts}, but it must increase and stay below train.epochs, which is {self.epochs}: "
                "to continue a run of 10 epochs to 20, set train.restarts to [10] and train.epochs to 20."
            )
        if self.restarts and self.budget_minutes:
            raise UserError(
                f"train.restarts is {self.restarts} and train.budget_minutes {self.budget_minutes:g}, but the phases of a run "
                "with restarts have a fixed number of epochs: set one of them to [] or 0."
            )
        name, end = ("the first of train.restarts", self.restarts[0]) if self.restarts else ("train.epochs", self.epochs)
        longer = "restart later" if self.restarts else "train for more epochs"
        if self.freeze_epochs >= end:
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs} and must be less than {name}, which is {end}, so that the whole "
                f"network is trained too: lower it or {longer}."
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
    training_json: Path,
    code: tuple[Path, ...],
) -> dict[str, Any]:
    """Trains, and resumes from the last checkpoint of the same run if there is one.

    Returns:
        Facts for `reports/run.json`.
    """
    seconds = checkpoint_seconds()
    classes = read_classes(classes_json)
    training_split, validation_split = Split(training, len(classes)), Split(validation, len(classes))
    facts = decisive(params, seed, (classes_json, training, validation, initial_keras), code)  # INPUTS
    with at_once():
        gpus = start_tensorflow()
    from resnet.native.library import in_use
    from resnet.network.saving import load_model, save_model
    from resnet.training.recipe import make_trainer

    precision = choose_precision(params.precision)
    facts |= {"precision": precision, "machine.devices": gpus or ["CPU"], "machine.fused_kernels": in_use()}
    compute = {"precision": precision, "devices": gpus or ["CPU"]}
    with begun(home(), facts) as run:
        strategy = share_among(params.devices)
        with strategy.scope():
            model = load_model(initial_keras, classes, training_split.image_shape, precision)
        steps = len(training_split) // params.batch_size
        recipe = params.recipe()
        trainer = make_trainer(recipe, model, steps, precision, training_split.labels, strategy=strategy)
        state = trainer.state
        resumed = resume(state, run, params)
        _write_results(history_csv, training_json, state.history)
        if recipe.rise_epochs < params.warmup_epochs:
            say(
                f"train: train.warmup_epochs is {params.warmup_epochs:g}, which leaves no epoch for the rest of the schedule: "
                f"the learning rate increases for {recipe.rise_epochs:g} epochs instead"
            )
        live = Live()
        with (
            Events.from_environment() as events,
            noted(live.stop) as received,
            Display(params.epochs) as display,
            live,
            keeping(run, state, seconds, received) as keep,
        ):
            position = {"run": run.folder.name, "epochs": params.epochs, "steps": steps, **compute}
            earlier = live.start(
                [source.folder.name for source in sources(run, params)],
                state,
                lambda: trainer.augmented(training_split, seed, min(_SHOWN, params.batch_size)),
                outputs=(resnet_keras, history_csv),
                **position,
            )
            events.start(earlier, epoch=state.epoch, step=state.step, **position)

            def on_step(progress: "Progress") -> None:
                display.step(progress)
                events.step(progress)
                live.step(progress)
                keep()

            def on_validation_step() -> None:
                live.wait()
                keep()

            def on_epoch(epoch: "Epoch") -> None:
                _write_results(history_csv, training_json, state.history)
                display.epoch(epoch)
                events.epoch(epoch)
                live.epoch(epoch, trainer.confusion)
                keep()

            trainer.fit(
                training_split,
                validation_split,
                epochs=params.epochs,
                batch_size=params.batch_size,
                seed=seed,
                on_step=on_step,
                on_validation_step=on_validation_step,
                on_epoch=on_epoch,
            )
            save_model(model, resnet_keras)  # while the last checkpoint is written
        if len(state.history) < params.epochs:
            print(f"train: stopped after epoch {len(state.history)} of {params.epochs} because of train.patience or the budget")
    prune(home(), run.folder)
    return {
        "gpus": gpus,
        "precision": precision,
        "fused_kernels": in_use(),
        "resumed": resumed,
        "warmup_epochs": recipe.rise_epochs,
        "checkpoints": keep.cost(),
        "live": live.cost(),
        "epoch_seconds": [round(epoch.seconds, 2) for epoch in state.history],
        "images_per_second": [round(epoch.images_per_second, 1) for epoch in state.history],
    }


def _write_results(history: Path, latest: Path, epochs: list["Epoch"]) -> None:
    """Writes the epochs so far, and the latest one as a metric: `dvc exp show` has no other of a run that goes on."""
    if epochs:
        with replacing(history) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            writer.writerows([f"{getattr(epoch, column):.6g}" for column in HISTORY_COLUMNS] for epoch in epochs)
    figures: dict[str, float] = {"epoch": len(epochs)}
    for epoch in epochs[-1:]:  # not `loss` and `accuracy`, the columns of the test split
        named = {"train_loss": epoch.loss, "val_loss": epoch.val_loss, "val_accuracy": epoch.val_accuracy}
        figures |= {name: float(f"{figure:.6g}") for name, figure in named.items()}
    with replacing(latest) as partial:
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main("train"))
