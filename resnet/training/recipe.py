"""The recipe: everything that a user can choose about training, and the trainer, optimizer and schedule made from it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.core.label_sets import LabelSets
from resnet.training.augmentation import Augmentation
from resnet.training.budget import Budget
from resnet.training.hosts import Hosts
from resnet.training.loop import Trainer
from resnet.training.multi_label import MultiLabel
from resnet.training.objective import balanced_weights
from resnet.training.optimizers import RISE, FreezeFirst, OneCycle, WarmRestarts, make_optimizer, warmup_cosine
from resnet.training.sizes import SizeSchedule


@dataclass(frozen=True)
class Recipe:
    """The parameters of `train` that decide how a trainer works; `params.yaml` says what each one means."""

    epochs: int
    restarts: list[int]
    size_schedule: list[int]
    optimizer: str
    learning_rate: float
    schedule: Literal["cosine", "one_cycle"]
    warmup_epochs: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    balance: Literal["none", "weights", "sampling"]
    shift: float
    flip: bool | Literal["alternate"]
    crop: float
    trivial_augment: bool
    mixup: float
    cutmix: float
    ema: float
    accumulate: int
    freeze_epochs: int
    unfrozen_rate: float
    patience: int
    budget_minutes: float

    @property
    def rise_epochs(self) -> float:
        """Epochs in which the learning rate rises: `warmup_epochs`, or half of the first phase where it has no more epochs.

        With `one_cycle` it is a fixed share. The first phase ends at the first restart, and starts after the frozen epochs.
        """
        room = (*self.restarts, self.epochs)[0] - self.freeze_epochs
        if self.schedule == "one_cycle":
            return RISE * room
        return self.warmup_epochs if self.warmup_epochs < room else room / 2


def make_trainer(
    recipe: Recipe,
    model: keras.Model,
    steps_per_epoch: int,
    precision: str = "float32",
    labels: npt.NDArray[np.uint16] | None = None,
    *,
    label_sets: LabelSets | None = None,
    strategy: tf.distribute.Strategy | None = None,
    hosts: Hosts | None = None,
) -> Trainer:
    """The trainer of a recipe.

    Args:
        recipe: what to do.
        model: a `resnet.network.model.ResNet` that computes in `precision`.
        steps_per_epoch: full batches in the training split.
        precision: float16 needs loss scaling.
        labels: (images,) of the training split, for balanced class weights; without them all classes have the same weight.
        label_sets: what the labels mean, if images have several labels; without balanced weights or sampling.
        strategy: in whose scope the model was made; by default the current one.
        hosts: that share each batch; by default one host trains.
    """
    sizes = SizeSchedule(recipe.size_schedule, (*recipe.restarts, recipe.epochs)) if recipe.size_schedule else None
    schedule, budget = _make_schedule(recipe, steps_per_epoch, sizes)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        optimizer = make_optimizer(
            recipe.optimizer,
            schedule,
            recipe.momentum,
            recipe.weight_decay,
            model.trainable_variables,
            loss_scaling=precision == "float16",
            freeze_steps=recipe.freeze_epochs * steps_per_epoch,
        )
    class_weights = None
    if recipe.balance == "weights" and labels is not None:
        class_weights = balanced_weights(labels, model.classes)
    return Trainer(
        model,
        optimizer,
        augmentation=Augmentation(
            flip=recipe.flip,
            shift=recipe.shift,
            crop=recipe.crop,
            trivial_augment=recipe.trivial_augment,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
        ),
        label_smoothing=recipe.label_smoothing,
        class_weights=class_weights,
        multi_label=MultiLabel(label_sets) if label_sets else None,
        balanced=recipe.balance == "sampling",
        accumulate=recipe.accumulate,
        ema=recipe.ema,
        freeze_epochs=recipe.freeze_epochs,
        patience=recipe.patience,
        budget=budget,
        sizes=sizes,
        strategy=strategy,
        hosts=hosts,
    )


def _make_schedule(
    recipe: Recipe, steps_per_epoch: int, sizes: SizeSchedule | None
) -> tuple[keras.optimizers.schedules.LearningRateSchedule, Budget | None]:
    """The learning rate over the steps, and the budget that can shorten it."""
    ends = [max(1, epochs * steps_per_epoch) for epochs in (*recipe.restarts, recipe.epochs)]
    freeze_steps = recipe.freeze_epochs * steps_per_epoch
    peak = recipe.learning_rate * recipe.unfrozen_rate if freeze_steps else recipe.learning_rate
    steps = ends[0] - freeze_steps
    one_cycle = recipe.schedule == "one_cycle"
    warmup_steps = 0 if one_cycle else min(round(recipe.rise_epochs * steps_per_epoch), steps - 1)
    budget = None
    if recipe.budget_minutes:
        before = freeze_steps + warmup_steps
        budget = Budget(60 * recipe.budget_minutes, steps_per_epoch, before, steps - warmup_steps, sizes)
    length = budget.cosine_steps if budget else None
    if one_cycle:
        first = OneCycle(peak, steps if length is None else length)
    else:
        first = warmup_cosine(peak, steps, warmup_steps, cosine_steps=length)
    if freeze_steps:
        first = FreezeFirst(recipe.learning_rate, freeze_steps, first)
    later = [warmup_cosine(peak, end - start, 0) for start, end in pairwise(ends)]
    return (WarmRestarts([first, *later], ends[:-1]) if later else first), budget
