"""How many parts of a batch a step needs, so that it fits into memory, and what to do where it does not."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.network.memory import enough_memory, is_used_up
from resnet.training.calls import divide_into_calls

if TYPE_CHECKING:
    from resnet.training.loop import Trainer


def find_parts(trainer: "Trainer", splits: tuple[Split, Split], batch_size: int, first: int = 1) -> int:
    """Finds out by trial into how many parts a batch must be divided, and divides the trainer's batches into as many.

    The trial is the largest call of the run: all variables are trained at the largest size. It is done before training, with
    black images. Afterwards the state of the trainer is what it was, bit for bit. Images are kept on the devices if that needs
    no more parts, so the number does not depend on them.

    Args:
        trainer: that has not been used.
        splits: for training and validation.
        batch_size: images in a step.
        first: number of parts to try first. If the step does not fit, the next larger number that divides the batch is tried.

    Returns:
        The number of parts.

    Raises:
        UserError: the batch cannot be divided any more.
    """
    before, parts = trainer.state.snapshot(), first
    trainer.keep(*splits)
    try:
        trainer.divide(parts)
        while not _fits(trainer, splits[0], batch_size):
            if trainer.kept:
                trainer.kept.drop()
                continue
            more = _more_parts(trainer, batch_size)
            if more is None:
                step = _step(trainer, batch_size, _largest_size(trainer))
                raise UserError(
                    f"{step} needs more memory than is free, and the batch cannot be divided into more parts: lower the size "
                    "of the images or build.width."
                )
            parts = more
            trainer.divide(parts)
    finally:
        trainer.state.restore(before)
    trainer.tried = True
    return parts


def keep_images(trainer: "Trainer", training: Split, validation: Split, batch_size: int) -> None:
    """Keeps images on the devices if the largest call of the run fits beside them. Afterwards the state is what it was.

    A step that fails during the run would end it. So this is tried before, unless `find_parts` has tried it already.
    """
    tried = trainer.kept.splits == (training, validation)
    if tried or not trainer.keep(training, validation):
        return
    before = trainer.state.snapshot()
    try:
        if not _fits(trainer, training, batch_size):
            trainer.kept.drop()
    finally:
        trainer.state.restore(before)


def _largest_size(trainer: "Trainer") -> int:
    return max(trainer.sizes.sizes) if trainer.sizes else trainer.size


def _fits(trainer: "Trainer", training: Split, batch_size: int) -> bool:
    """Whether the largest call of the run fits into memory. It needs the same memory whatever the images show."""
    calls, delivery = divide_into_calls(training, batch_size, trainer.hosts.count), trainer.delivery()
    steps = max(1, min(calls.steps, len(training) // batch_size))
    images, by_steps = steps * batch_size, steps if calls.stacked else None
    black, labels = np.zeros((images, *training.image_shape), np.uint8), np.zeros(images, np.uint16)
    draws, aspects = trainer.augmentation.draw(images, 0, 1), None if training.aspects is None else tf.ones(images)
    try:
        # While a call of the run computes, its batches, those of the calls ahead and of the next one are on the device.
        given = [delivery.shares(black, by_steps) for _ in range(calls.ahead + 2)]
        batches = delivery.batches(given[0], labels, draws, size=_largest_size(trainer), aspects=aspects, steps=by_steps)
        loss, *_ = trainer.call(batches, stacked=calls.stacked, frozen=False)
        np.asarray(loss)  # waits for the call
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        if not is_used_up(error):
            raise
        return False
    return True


def enough_for_step(trainer: "Trainer", batch_size: int) -> AbstractContextManager[None]:
    """For a block that trains in the current epoch: the error that memory is used up becomes a sentence.

    A step that failed may have changed some variables, so training cannot go on from there. With more parts it would not be the
    same run either: batch normalisation would use other statistics.

    Raises:
        UserError: there was too little memory.
    """
    advice = "lower train.batch_size"
    more = _more_parts(trainer, batch_size)
    if trainer.tried:
        other = f", or set train.accumulate to {more}, which is another run" if more else ""
        advice = (
            "it fitted when training began, so end what else uses that memory, and run the same command to go on from the last "
            f"checkpoint{other}"
        )
    elif more:
        advice = f"set train.accumulate to auto or {more}, or {advice}"
    return enough_memory(_step(trainer, batch_size, trainer.size), advice)


def enough_for_validation(trainer: "Trainer", batch_size: int) -> AbstractContextManager[None]:
    """For a block that validates, which takes whole batches: the error that memory is used up becomes a sentence.

    Raises:
        UserError: there was too little memory.
    """
    size = trainer.model.input_shape[1]
    return enough_memory(f"validation with {batch_size} images of {size} x {size} pixels at a time", "lower train.batch_size")


def _step(trainer: "Trainer", batch_size: int, size: int) -> str:
    parts, devices = trainer.accumulate, trainer.strategy.num_replicas_in_sync
    divided = f" in {parts} parts" if parts > 1 else ""
    shared = f" on {devices} devices" if devices > 1 else ""
    return f"a step of {batch_size} images of {size} x {size} pixels{divided}{shared}"


def _more_parts(trainer: "Trainer", batch_size: int) -> int | None:
    """The next larger number of parts that a user can choose, if there is one. That of several hosts is their number."""
    devices = trainer.strategy.num_replicas_in_sync
    numbers = range(trainer.accumulate + 1, batch_size // devices + 1) if trainer.hosts.count == 1 else ()
    return next((number for number in numbers if batch_size % (number * devices) == 0), None)
