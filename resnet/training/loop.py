"""The training loop: one compiled step that learns, one that only looks, and the epochs around them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from resnet.data.arrays import Split
from resnet.data.batches import batches, epoch_order
from resnet.errors import UserError
from resnet.normalisation import normalise
from resnet.training.augmentation import Augmentation
from resnet.training.optimizers import is_decayed


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
        seconds: of training and validation together.
        images_per_second: of training alone.
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
class Progress:
    """Where an epoch stands after a step: `loss` and `accuracy` are its means so far."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float


class Trainer:
    """Trains a network on one split and watches it on another.

    Args:
        model: from normalised images to logits.
        optimizer: built for the model's trainable variables.
        augmentation: of training images.
        label_smoothing: share of the target that is spread over all classes, in [0, 1) (Szegedy et al., "Rethinking the
            Inception Architecture for Computer Vision", 2015, section 7).
        l2: coefficient c of a term c / 2 * |w|^2 for each kernel.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        augmentation: Augmentation,
        label_smoothing: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.l2 = l2
        self.loss_object = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.train_loss = keras.metrics.Mean(name="train_loss")
        self.train_accuracy = keras.metrics.SparseCategoricalAccuracy(name="train_accuracy")
        self.test_loss = keras.metrics.Mean(name="test_loss")
        self.test_accuracy = keras.metrics.SparseCategoricalAccuracy(name="test_accuracy")

    @tf.function
    def train_step(self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Learns from one batch.

        Args:
            images: (batch, height, width, 3) uint8.
            labels: (batch,) uint16.
            draws: (batch, DRAWS) float32, the random numbers of the augmentation.

        Returns:
            The batch's cross-entropy and the learning rate, both () float32.
        """
        images = normalise(self.augmentation(images, draws))
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            cross_entropy = self.loss_object(labels, logits)
            objective = cross_entropy
            if self.label_smoothing:
                uniform = -tf.reduce_mean(tf.nn.log_softmax(logits))
                objective = (1.0 - self.label_smoothing) * cross_entropy + self.label_smoothing * uniform
            objective = self.optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, variables)
        if self.l2:
            # The gradient of the L2 term, added here rather than taken by the tape: one multiply-add a kernel.
            l2 = self.optimizer.scale_loss(tf.constant(self.l2))
            gradients = [
                gradient + l2 * variable if is_decayed(variable) else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        self.optimizer.apply(gradients, variables)
        self.train_loss.update_state(cross_entropy)
        self.train_accuracy.update_state(labels, logits)
        return cross_entropy, learning_rate

    @tf.function(reduce_retracing=True)
    def test_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Adds a batch of images (batch, height, width, 3) uint8 and labels (batch,) uint16 to the test metrics."""
        logits = self.model(normalise(images), training=False)
        self.test_loss.update_state(self.loss_object(labels, logits), sample_weight=tf.shape(labels)[0])
        self.test_accuracy.update_state(labels, logits)

    def fit(
        self,
        training: Split,
        validation: Split,
        *,
        epochs: int,
        batch_size: int,
        seed: int,
        on_step: Callable[[Progress], None] = lambda progress: None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        """Trains, and leaves the model with the weights of the epoch whose validation loss was least.

        Least loss rather than most accuracy: on a small validation split many epochs tie in accuracy, and a lucky early one
        would win.

        Every epoch takes as many full batches as there are, in a new order; the few images that do not fill a
        batch are other ones each time.

        Args:
            training: to learn from.
            validation: to choose the best epoch by.
            epochs: at least 1.
            batch_size: at most the number of training images.
            seed: of order and augmentation.
            on_step: called after each step.
            on_epoch: called after each epoch.

        Raises:
            UserError: fewer images than a batch, or a loss that is not a finite number.
        """
        if len(training) < batch_size:
            raise UserError(
                f"train.batch_size is {batch_size}, but there are only {len(training)} training images: lower it or add images."
            )
        least, weights = math.inf, []
        for epoch in range(1, epochs + 1):
            result = self._epoch(training, validation, epoch, batch_size=batch_size, seed=seed, on_step=on_step)
            on_epoch(result)
            if result.val_loss < least:
                least, weights = result.val_loss, self.model.get_weights()
        self.model.set_weights(weights)

    def _epoch(
        self,
        training: Split,
        validation: Split,
        epoch: int,
        *,
        batch_size: int,
        seed: int,
        on_step: Callable[[Progress], None],
    ) -> Epoch:
        began = time.perf_counter()
        learning_rate = self._train(training, epoch, batch_size, seed, on_step)
        trained = time.perf_counter()
        self._validate(validation, epoch, batch_size)
        images = len(training) // batch_size * batch_size
        return Epoch(
            epoch=epoch,
            loss=float(self.train_loss.result()),
            accuracy=float(self.train_accuracy.result()),
            val_loss=float(self.test_loss.result()),
            val_accuracy=float(self.test_accuracy.result()),
            learning_rate=learning_rate,
            seconds=time.perf_counter() - began,
            images_per_second=images / (trained - began),
        )

    def _train(self, training: Split, epoch: int, batch_size: int, seed: int, on_step: Callable[[Progress], None]) -> float:
        """One pass over the training images; returns the learning rate of the last step."""
        self.train_loss.reset_state()
        self.train_accuracy.reset_state()
        draws = self.augmentation.draw(len(training), seed, epoch)
        order = epoch_order(len(training), seed, epoch)
        steps = len(training) // batch_size
        began = time.perf_counter()
        learning_rate = 0.0
        for step, (images, labels, rows) in enumerate(batches(training, order, batch_size, drop_remainder=True), start=1):
            loss, rate = self.train_step(images, labels, tf.gather(draws, rows))
            learning_rate = float(rate)
            if not math.isfinite(float(loss)):
                raise UserError(
                    f"the loss became {float(loss)} at step {step} of {steps} in epoch {epoch}, where the learning rate was "
                    f"{learning_rate:.3g}; lower train.learning_rate or lengthen train.warmup_epochs."
                )
            on_step(
                Progress(
                    epoch=epoch,
                    step=step,
                    steps=steps,
                    loss=float(self.train_loss.result()),
                    accuracy=float(self.train_accuracy.result()),
                    images_per_second=step * batch_size / (time.perf_counter() - began),
                )
            )
        return learning_rate

    def _validate(self, validation: Split, epoch: int, batch_size: int) -> None:
        self.test_loss.reset_state()
        self.test_accuracy.reset_state()
        for images, labels, _ in batches(validation, np.arange(len(validation)), batch_size):
            self.test_step(images, labels)
        if not math.isfinite(float(self.test_loss.result())):
            raise UserError(
                f"the validation loss is {float(self.test_loss.result())} after epoch {epoch}; lower train.learning_rate or "
                "lengthen train.warmup_epochs."
            )
