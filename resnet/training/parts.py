"""How many parts of a batch a step needs, so that it fits into memory, and what to do where it does not."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.network.device_kernels import kernels
from resnet.network.memory import enough_memory

if TYPE_CHECKING:
    from resnet.training.loop import Trainer


def find_parts(trainer: "Trainer", training: Split, batch_size: int, first: int = 1) -> int:
    """Finds out by trial into how many parts a batch must be divided, and divides the trainer's batches into as many.

    The trial is the largest step of the run: all variables are trained at the largest size. It is done before training, with
    black images. Afterwards the state of the trainer is what it was, bit for bit.

    Args:
        trainer: that has not been used.
        training: the split to train on.
        batch_size: images in a step.
        first: number of parts to try first. If the step does not fit, the next larger number that divides the batch is tried.

    Returns:
        The number of parts.

    Raises:
        UserError: the batch cannot be divided any more.
    """
    before, parts = trainer.state.snapshot(), first
    batch = _largest_batch(trainer, training, batch_size)
    try:
        while not _fits(trainer, batch, parts):
            more = _more_parts(trainer, batch_size)
            if more is None:
                raise UserError(
                    f"{_step(trainer, batch_size, batch[3])} needs more memory than is free, and the batch cannot be divided "
                    "into more parts: lower the size of the images or build.width."
                )
            parts = more
    finally:
        trainer.state.restore(before)
    trainer.tried = True
    return parts


def _largest_batch(trainer: "Trainer", training: Split, batch_size: int) -> tuple[Any, Any, Any, int, Any]:
    """The arguments of the step. It needs the same memory whatever the images show."""
    size = max(trainer.sizes.sizes) if trainer.sizes else trainer.size
    draws = trainer.augmentation.draw(batch_size, 0, 1)
    aspects = None if training.aspects is None else tf.ones(batch_size)
    images, labels = np.zeros((batch_size, *training.image_shape), np.uint8), np.zeros(batch_size, np.uint16)
    return images, labels, draws, size, aspects


def _fits(trainer: "Trainer", batch: tuple[Any, Any, Any, int, Any], parts: int) -> bool:
    images, labels, draws, size, aspects = batch
    trainer.divide(parts)
    shares = trainer.delivery().shares
    try:
        # While a step of the run computes, its batch, those of the steps ahead and the next one are on the device.
        given = [shares(images) for _ in range(kernels().steps_ahead + 2)]
        loss, _ = trainer.train_step(given[0], shares(labels), shares(draws), size, shares(aspects))
        float(loss)  # waits for the step
    except tf.errors.ResourceExhaustedError:
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
