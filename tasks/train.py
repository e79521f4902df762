"""Trains the network on the training split and keeps the weights that are best on the validation split."""

import csv
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import Field, WithJsonSchema

from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.core.learning_rates import suitable_rate
from resnet.core.tables import HISTORY_COLUMNS
from resnet.core.words import agreeing
from resnet.dataset.arrays import Split
from resnet.dataset.batches import require_full_batch
from resnet.network.cuda import gpus_of_driver, obstacle, silence
from resnet.network.devices import share_among
from resnet.network.huge_pages import use_huge_pages
from resnet.network.memory import enough_memory
from resnet.network.occupancy import used_by_others
from resnet.network.precision import choose_precision
from resnet.network.startup import start_tensorflow
from tasks.stage.command import main
from tasks.stage.params import MOST, Params, Section
from tasks.stage.signals import at_once, noted
from tasks.training.cluster import (
    Cluster,
    HelpedError,
    agreed,
    met,
    require_equal,
    require_same_result,
    say_refused,
    shared_state,
    together,
)
from tasks.training.events import Events
from tasks.training.fingerprint import Facts
from tasks.training.labels import Labels
from tasks.training.live import Live
from tasks.training.moving import shared
from tasks.training.parts import parts_that_fit, remember_parts
from tasks.training.pause import VARIABLE, Pause
from tasks.training.progress import Display, say
from tasks.training.refusals import Refusals
from tasks.training.resume import TRAINED, Elsewhere, Keeper, checkpoint_seconds, decisive, keeping, resume, sources
from tasks.training.runs import Run, begun, home, prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet.network.model import ResNet
    from resnet.training.hosts import Hosts
    from resnet.training.loop import Trainer
    from resnet.training.recipe import Recipe
    from resnet.training.state import Epoch, Progress

INPUTS = ("classes_json", "training", "validation", "initial_keras")  # keywords of `train`
_SHOWN = 8  # augmented images for TensorBoard


class Train(Section):
    """Parameters of the stage `train`."""

    renamed: ClassVar[dict[str, str]] = {"class_weights": "balance"}

    epochs: int = Field(ge=1, le=MOST, description="passes over the training images, each without the rest that fills no batch")
    restarts: list[Annotated[int, Field(ge=1, le=MOST)]] = Field(
        description="epochs after which the learning rate restarts; [10] with epochs 20 continues a finished run of 10"
    )
    size_schedule: list[Annotated[int, Field(ge=8, le=1024)]] = Field(
        description="sizes in pixels for equal shares of the epochs, as [64, 96, 128]; []: preprocess.image_size"
    )
    batch_size: int = Field(ge=2, le=MOST, description="images in a step")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        description="bfloat16, float16 or float32; auto takes the fastest one on this machine"
    )
    devices: int = Field(ge=1, le=MOST, description="number of GPUs that share each batch; increase batch_size with it")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(description="adam, adamw or sgd (with Nesterov's momentum)")
    learning_rate: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = Field(
        description="peak value, after the warm-up; auto: what suits optimizer and batch_size"
    )
    schedule: Literal["cosine", "one_cycle"] = Field(
        description="cosine: warm-up, then a cosine to zero; one_cycle: 30 % of the run up, then down, in lines"
    )
    warmup_epochs: float = Field(
        ge=0,
        description="epochs in which the rate rises from near zero, with cosine; half the run if it has no more",
    )
    momentum: float = Field(ge=0, lt=1, description="momentum of sgd, or beta_1 of adam and adamw")
    weight_decay: float = Field(
        ge=0, lt=1, description="for kernels: an L2 term for adam and sgd (usually 0.0001), decoupled for adamw (usually 0.05)"
    )
    label_smoothing: float = Field(ge=0, lt=1, description="share of the target that is spread evenly over all classes")
    balance: Literal["none", "weights", "sampling"] = Field(
        description="none, or for rare classes: weights (their images weigh more), sampling (they come more often)"
    )
    shift: float = Field(ge=0, le=0.5, description="largest random shift, as a share of the side")
    flip: Annotated[bool | Literal["alternate"], WithJsonSchema({"enum": [False, True, "alternate"]})] = Field(
        description="mirror half of the images; alternate: each every other epoch; not if it changes their meaning"
    )
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
    accumulate: Annotated[int, Field(ge=1, le=MOST)] | Literal["auto"] = Field(
        description="number of parts of a batch, one after another to save memory, or on hosts; auto: fewest that fit"
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

        resolved = {"learning_rate": self.rate, "accumulate": self.parts}
        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)} | resolved)

    @property
    def rate(self) -> float:
        """The peak of the learning rate."""
        return suitable_rate(self.optimizer, self.batch_size) if self.learning_rate == "auto" else self.learning_rate

    @property
    def parts(self) -> int:
        """The number of parts of a batch; for `auto` the one to try first."""
        return 1 if self.accumulate == "auto" else self.accumulate

    def check(self, whole: Params) -> None:
        """The phases follow each other, batches can be divided, and the augmentation suits the images."""
        self._check_phases()
        self._check_sizes(whole)
        if self.freeze_epochs and whole.value("build.weights", str) == "builtin/random":
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs}, but build.weights is builtin/random, so the frozen layers would "
                "not have learned anything: set it to 0 or start from other weights."
            )
        if self.batch_size % (self.devices * self.parts):
            raise UserError(
                f"train.batch_size is {self.batch_size}, which cannot be divided into train.devices x train.accumulate = "
                f"{self.devices} x {self.parts} equal parts: change one of them."
            )
        if self.flip and whole.value("ingest.source", str) == "builtin/digits":
            raise UserError(
                f"train.flip is {str(self.flip).lower()}, but the mirror image of a digit is not the same digit: set it to "
                "false for ingest.source builtin/digits."
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
        if self.restarts and self.schedule == "one_cycle":
            raise UserError(
                f"train.restarts is {self.restarts} and train.schedule one_cycle, but the one cycle is the whole run: set "
                "one of them to [] or cosine."
            )
        name, end = ("the first of train.restarts", self.restarts[0]) if self.restarts else ("train.epochs", self.epochs)
        longer = "restart later" if self.restarts else "train for more epochs"
        if self.freeze_epochs >= end:
            raise UserError(
                f"train.freeze_epochs is {self.freeze_epochs} and must be less than {name}, which is {end}, so that the whole "
                f"network is trained too: lower it or {longer}."
            )

    def _check_sizes(self, whole: Params) -> None:
        larger = whole.value("preprocess.training_size", object)
        stored = larger if isinstance(larger, int) else whole.value("preprocess.image_size", int)
        if max(self.size_schedule, default=0) > stored:
            raise UserError(
                f"train.size_schedule has {max(self.size_schedule)} pixels, but the training images have {stored}: lower it or "
                "raise preprocess.image_size or preprocess.training_size."
            )
        shortest = min(end - start for start, end in pairwise((0, *self.restarts, self.epochs)))
        if len(self.size_schedule) > shortest:
            found = f"the shortest phase of train.restarts has {shortest}" if self.restarts else f"train.epochs is {shortest}"
            raise UserError(
                f"train.size_schedule has {len(self.size_schedule)} sizes, which need as many epochs, but {found}: leave out "
                "some sizes or train for more epochs."
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
    seconds, pause, (cluster, refusals) = checkpoint_seconds(), Pause.from_environment(params.epochs), _cluster(params)
    labels = Labels.read(classes_json, balance=params.balance)
    training_split, _ = splits = Split(training, len(labels)), Split(validation, len(labels))
    facts = decisive(params, seed, (classes_json, training, validation, initial_keras), code)  # INPUTS
    with at_once():
        # In this order: later this process uses memory of the GPUs, too.
        shared_with, gpus = used_by_others(params.devices), start_tensorflow()
        hosts = met(cluster, refusals)
    precision = choose_precision(params.precision)
    facts |= {"precision": precision} | _of_machine(gpus) | _of_hosts(hosts)
    make = partial(_trainer, params, initial_keras, labels, splits, precision=precision, hosts=hosts)
    with together(hosts):
        require_full_batch(len(training_split), params.batch_size)
        require_equal(hosts, {**facts, VARIABLE: pause.after, "TF_CONFIG.cluster": list(hosts.addresses)})
        if hosts.index:
            _help(make(), splits, params, seed=seed, run=Run(Path(), facts), pause=pause)
    trainer, params, facts = _in_parts(make, splits, params, facts)
    with together(hosts), begun(home(), facts) as run, shared(run) as in_store:
        trainer = trainer or make()
        state, recipe, steps = trainer.state, params.recipe(), len(training_split) // params.batch_size
        resumed = shared_state(hosts, state, resume(state, run, params, in_store, last_epoch=trainer.last_epoch))
        _write_results(history_csv, training_json, state.history)
        _say_surprises(params, recipe, gpus, shared_with)
        live = Live()
        with (
            Events.from_environment() as events,
            noted(live.stop, TRAINED) as received,
            Display(params.epochs, sized=bool(params.size_schedule)) as display,
            live,
            keeping(run, state, seconds, agreed(hosts, received), pause=pause, in_store=in_store) as keep,
        ):
            position = {
                "run": run.folder.name,
                "epochs": params.epochs,
                "steps": steps,
                "ended": state.epoch > trainer.last_epoch(params.epochs),
                "precision": precision,
                "devices": gpus or ["CPU"],
            }
            earlier = live.start(
                [source.folder.name for source in sources(run, params)],
                state,
                lambda: trainer.augmented(training_split, seed, min(_SHOWN, params.batch_size)),
                outputs=(resnet_keras, history_csv),
                **position,
            )
            events.start(earlier, epoch=state.epoch, step=state.step, **position)
            pause.check(state.epoch - 1)

            def on_step(progress: "Progress") -> None:
                display.step(progress)
                events.step(progress)
                live.step(progress)
                keep()

            def on_validation_step() -> None:
                live.wait()
                keep()

            def on_epoch(epoch: "Epoch") -> None:
                require_same_result(hosts, epoch)
                keep.secure()
                _write_results(history_csv, training_json, state.history)
                display.epoch(epoch)
                events.epoch(epoch)
                live.epoch(epoch, trainer.confusion)
                keep()

            trainer.fit(
                *splits,
                epochs=params.epochs,
                batch_size=params.batch_size,
                seed=seed,
                on_step=on_step,
                on_validation_step=on_validation_step,
                on_epoch=on_epoch,
            )
            fitted = _finish(trainer.model, splits, labels, resnet_keras, batch_size=params.batch_size, precision=precision)
        if len(state.history) < params.epochs:
            print(f"train: stopped after epoch {len(state.history)} of {params.epochs} because of train.patience or the budget")
    _leave(run, parts_found=trainer.tried)
    return {
        "gpus": gpus,
        "precision": precision,
        "accumulate": params.accumulate,
        "images_on_devices": bool(trainer.kept),
        "fused_kernels": facts["machine.fused_kernels"],
        "resumed": resumed and resumed.removeprefix("resumes from "),
        "learning_rate": recipe.learning_rate,
        "warmup_epochs": recipe.rise_epochs,
        **fitted,
        "checkpoints": keep.cost(),
        "live": live.cost(),
        **({"sizes": [epoch.size for epoch in state.history]} if params.size_schedule else {}),
        "epoch_seconds": [round(epoch.seconds, 2) for epoch in state.history],
        "images_per_second": [round(epoch.images_per_second, 1) for epoch in state.history],
    }


def refused(error: UserError) -> None:
    """What `tasks.stage.command.main` calls after an error of the user: other hosts of this run would wait for this one."""
    say_refused(error)


def _cluster(params: Train) -> tuple[Cluster, Refusals]:
    """The hosts of the run, and which of the others are refused from now on."""
    cluster = Cluster.from_environment()
    cluster.check(accumulate=params.accumulate, devices=params.devices, budget_minutes=params.budget_minutes)
    if len(cluster.addresses) > 1:
        # TensorFlow would print six lines about a lost host, whose error Python gets, too.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return cluster, Refusals(cluster.addresses, cluster.index)


def _of_machine(gpus: list[str]) -> Facts:
    """Facts that make a run another one on another machine."""
    from resnet.native.library import in_use

    return {"machine.devices": gpus or ["CPU"], "machine.fused_kernels": in_use()}


def _of_hosts(hosts: "Hosts") -> Facts:
    """What several hosts add to the facts: the compiled step of a host rounds otherwise than the loop of one host."""
    return {"hosts": hosts.count} if hosts.count > 1 else {}


def _trainer(
    params: Train, initial_keras: Path, labels: Labels, splits: tuple[Split, Split], *, precision: str, hosts: "Hosts"
) -> "Trainer":
    """The trainer, with the initial weights."""
    from resnet.network.saving import load_model
    from resnet.training.recipe import make_trainer

    strategy = share_among(params.devices)
    with strategy.scope():
        shape, several = splits[1].image_shape, labels.sets is not None
        model = load_model(initial_keras, labels.classes, shape, precision, multi_label=several)
    steps = len(splits[0]) // params.batch_size
    of_training = splits[0].labels
    return make_trainer(
        params.recipe(), model, steps, precision, of_training, label_sets=labels.sets, strategy=strategy, hosts=hosts
    )


def _in_parts(
    make: "Callable[[], Trainer]", splits: tuple[Split, Split], params: Train, facts: Facts
) -> "tuple[Trainer | None, Train, Facts]":
    """The number of parts in place of `auto`; the trainer on which it was tried, or None if there was nothing to try."""
    if params.accumulate != "auto":
        return None, params, facts
    trainer = make()
    with at_once():  # there is nothing to save, and an exception within a step that fails would be lost
        parts = parts_that_fit(trainer, splits, params, facts)
    return trainer, params.model_copy(update={"accumulate": parts}), facts | {"train.accumulate": parts}


def _leave(run: Run, *, parts_found: bool) -> None:
    """Records the number of parts of a finished run if it was `auto`, and removes the runs that are no longer kept."""
    if parts_found:
        remember_parts(run.facts)
    prune(home(), run.folder)


def _help(trainer: "Trainer", splits: tuple[Split, Split], params: Train, *, seed: int, run: Run, pause: Pause) -> NoReturn:
    """Trains beside the chief of several hosts, step by step, and writes nothing.

    Raises:
        HelpedError: training has ended; the chief writes the results.
    """
    state, hosts = trainer.state, trainer.hosts
    shared_state(hosts, state, None)
    pause.check(state.epoch - 1)
    with noted(more=TRAINED) as received, Display(params.epochs, sized=bool(params.size_schedule)) as display:
        keep = Keeper(run, state, Elsewhere(), agreed(hosts, received), pause=pause)

        def on_step(progress: "Progress") -> None:
            display.step(progress)
            keep()

        def on_epoch(epoch: "Epoch") -> None:
            require_same_result(hosts, epoch)
            display.epoch(epoch)
            keep()

        trainer.fit(
            *splits,
            epochs=params.epochs,
            batch_size=params.batch_size,
            seed=seed,
            on_step=on_step,
            on_validation_step=keep,
            on_epoch=on_epoch,
        )
    raise HelpedError(hosts.addresses[0])


def _say_surprises(params: Train, recipe: "Recipe", gpus: list[str], shared_with: Sequence[str] = ()) -> None:
    """Says what a user may not expect: a GPU that is not used or is shared, and a shorter warm-up than asked for."""
    for clause in shared_with if gpus else ():
        say(f"train: {clause}")
    unused = [] if gpus else gpus_of_driver()
    if unused:
        why = obstacle() or "TensorFlow does not see it: run `train-resnet doctor`"
        say(f"train: on the processor and not on {', '.join(unused)}, because {why}")
    elif not gpus and (silent := silence()):
        say(f"train: on the processor, because {silent}: run `train-resnet doctor`")
    if recipe.schedule == "cosine" and recipe.rise_epochs < params.warmup_epochs:
        say(
            f"train: train.warmup_epochs is {params.warmup_epochs:g}, which leaves no epoch for the rest of the schedule: "
            f"the learning rate increases for {recipe.rise_epochs:g} {agreeing(recipe.rise_epochs, 'epoch', 'epochs')} instead"
        )


def _finish(
    model: "ResNet", splits: tuple[Split, Split], labels: Labels, resnet_keras: Path, *, batch_size: int, precision: str
) -> dict[str, float]:
    """Fits what the validation split decides, and saves the model, while the last checkpoint is written; returns facts."""
    from resnet.network.saving import save_model
    from resnet.training.finishing import finish

    began = time.perf_counter()
    with enough_memory(f"the calibration with {batch_size} images at a time", "lower train.batch_size"):
        why_not = finish(model, *splits, batch_size, precision, label_sets=labels.sets)
    if why_not:
        say(f"train: the model has no known score, which `predict --unknown` needs, because {why_not}")
    seconds = time.perf_counter() - began
    save_model(model, resnet_keras)
    offset = {"offset": model.offset} if model.multi_label else {}
    return {"temperature": model.temperature, **offset, "fitting_seconds": round(seconds, 2)}


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
