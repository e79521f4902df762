"""The training loop: one compiled step that learns, one that only looks, and the epochs around them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches, epoch_order
from resnet.network.normalisation import normalise
from resnet.training.augmentation import Augmentation
from resnet.training.averaging import MovingAverage
from resnet.training.budget import Budget
from resnet.training.mixing import Mixed
from resnet.training.objective import objective
from resnet.training.optimizers import is_decayed
from resnet.training.state import Epoch, TrainingState


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
    """Trains a network on one split and watches it on another, from where its `state` is.

    Args:
        model: from normalised images to logits.
        optimizer: built for the model's trainable variables.
        augmentation: of training images.
        label_smoothing: see `resnet.training.objective`.
        l2: coefficient c of a term c / 2 * |w|^2 for each kernel.
        class_weights: (classes,) float32, see `resnet.training.objective`.
        accumulate: parts of a batch that go through the network one after another, for the gradient of all of it with less
            memory; each part is normalised by its own statistics. Divides the batch size.
        average: decay of a moving average of the weights, which then is what is validated and kept; 0 is none.
        head_epochs: first epochs in which the last layer is trained alone, and the rest is used as it is.
        patience: epochs without a lower validation loss after which the run ends; 0 is no end. Those with the head alone do not
            count.
        budget: of time.
        strategy: of devices that share each batch, in whose scope `model` and `optimizer` were made; by default one device
            takes all of it. Each normalises its part by the part's own statistics; the first one's are kept, as PyTorch's
            `DistributedDataParallel` does. Their number divides the batch size.

    Attributes:
        state: where the run is. Restore it before `fit`, and the run goes on from there, bit for bit.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        augmentation: Augmentation,
        label_smoothing: float = 0.0,
        l2: float = 0.0,
        class_weights: npt.NDArray[np.float32] | None = None,
        accumulate: int = 1,
        average: float = 0.0,
        head_epochs: int = 0,
        patience: int = 0,
        budget: Budget | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.l2 = l2
        self.class_weights = class_weights
        self.accumulate = accumulate
        self.average = MovingAverage(model, average) if average else None
        self.head_epochs = head_epochs
        self.patience = patience
        self.budget = budget
        self.strategy = strategy or tf.distribute.get_strategy()
        self.loss_object = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._may_hide_nan = any(layer.compute_dtype == "bfloat16" for layer in model.layers)
        self.train_loss = keras.metrics.Mean(name="train_loss")
        self.train_accuracy = keras.metrics.SparseCategoricalAccuracy(name="train_accuracy")
        self.test_loss = keras.metrics.Mean(name="test_loss")
        self.test_accuracy = keras.metrics.SparseCategoricalAccuracy(name="test_accuracy")
        # The test metrics live no longer than a validation, and that is done again from its beginning.
        self.state = TrainingState(
            model=model.variables,
            optimizer=optimizer.variables,
            metrics=[*self.train_loss.variables, *self.train_accuracy.variables],
            average=self.average.variables if self.average else [],
        )

    # Without AutoGraph: there is no Python to convert, and to look for it took a third of the tracing.
    @tf.function(autograph=False)
    def train_step(self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Learns from one batch.

        Args:
            images: (batch, height, width, 3) uint8.
            labels: (batch,) uint16.
            draws: (batch, DRAWS or more) float32, the random numbers of the augmentation.

        Returns:
            The batch's cross-entropy and the learning rate, both () float32.
        """
        return self._learn(images, labels, draws, self.model.trainable_variables, training=True)

    @tf.function(autograph=False)
    def head_step(self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `train_step`, but for the last layer alone. Batch normalisation keeps its statistics and normalises by them."""
        return self._learn(images, labels, draws, self.model.layers[-1].trainable_variables, training=False)

    def _learn(
        self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, variables: list[keras.Variable], *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)

        def learn() -> tf.Tensor:
            batch = self.augmentation.mix(normalise(self.augmentation(images, draws)), labels, draws)
            return self._learn_share(self._share(batch), variables, training)

        cross_entropy = self.strategy.reduce(tf.distribute.ReduceOp.MEAN, self.strategy.run(learn), axis=None)
        if self.average:
            self.average.update(self.optimizer.iterations)
        self.train_loss.update_state(cross_entropy)
        return cross_entropy, learning_rate

    def _share(self, batch: Mixed) -> Mixed:
        """What this device takes of a batch. Cut off after the augmentation, so that what is drawn does not depend on it."""
        devices = self.strategy.num_replicas_in_sync
        if devices == 1:
            return batch
        return batch.part(tf.distribute.get_replica_context().replica_id_in_sync_group, batch.labels.shape[0] // devices)

    def _learn_share(self, batch: Mixed, variables: list[keras.Variable], training: bool) -> tf.Tensor:
        """Updates the variables by the gradients of all devices, and returns the cross-entropy of this one's share."""
        cross_entropy, gradients = self._gradients_of_parts(batch, variables, training)
        if self.l2:
            # The gradient of the L2 term, added here rather than taken by the tape: one multiply-add a kernel.
            l2 = self.optimizer.scale_loss(tf.constant(self.l2 / self.strategy.num_replicas_in_sync))
            gradients = [
                gradient + l2 * variable if is_decayed(variable) else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        if self._may_hide_nan:
            cross_entropy = _unless_lost(cross_entropy, [*gradients, *variables])
        self.optimizer.apply(gradients, variables)  # which adds up those of all devices
        return cross_entropy

    def _gradients_of_parts(
        self, batch: Mixed, variables: list[keras.Variable], training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The means over the parts that a batch is taken in, one after another."""
        if self.accumulate == 1:
            return self._gradients(batch, variables, training)
        size = batch.labels.shape[0] // self.accumulate

        def add(number: tf.Tensor, loss: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            part_loss, gradients = self._gradients(batch.part(number, size), variables, training)
            return number + 1, loss + part_loss, [one + other for one, other in zip(sums, gradients, strict=True)]

        # Not a loop of Python, whose parts TensorFlow would run beside each other, with all their memory.
        zeros = [tf.zeros(variable.shape) for variable in variables]
        start = (tf.constant(0), tf.constant(0.0), zeros)
        _, loss, sums = tf.while_loop(lambda number, *_: number < self.accumulate, add, start, parallel_iterations=1)
        return loss / self.accumulate, [one / self.accumulate for one in sums]

    def _gradients(self, batch: Mixed, variables: list[keras.Variable], training: bool) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = self.model(batch.images, training=training)
            cross_entropy, learned = objective(logits, batch, self.label_smoothing, self.class_weights)
            learned = self.optimizer.scale_loss(learned)
            if self.strategy.num_replicas_in_sync > 1:
                learned /= self.strategy.num_replicas_in_sync
        self.train_accuracy.update_state(batch.main_labels, logits)
        return cross_entropy, tape.gradient(learned, variables)

    # One signature for batches of any number of images: the last one, which is smaller, would be traced anew.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,) * 4, tf.uint8), tf.TensorSpec((None,), tf.uint16)])
    def test_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Adds a batch of images (batch, height, width, 3) uint8 and labels (batch,) uint16 to the test metrics."""
        images = normalise(tf.ensure_shape(images, self.model.input_shape))
        logits = self.average(images) if self.average else self.model(images, training=False)
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
        on_validation_step: Callable[[], None] = lambda: None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        """Trains on from `state`, and leaves the model with the weights of the epoch whose validation loss was least.

        Every epoch takes as many full batches as there are, in a new order; the few images that do not fill a
        batch are other ones each time.

        At each of the three calls `state` is such that a run that is restored from it goes on as this one does. An exception
        from one of them ends the run there.

        Args:
            training: to learn from.
            validation: to choose the best epoch by.
            epochs: at least 1; fewer are trained if patience or time run out.
            batch_size: at most the number of training images.
            seed: of order and augmentation.
            on_step: called after each step.
            on_validation_step: called after each batch of validation.
            on_epoch: called after each epoch.

        Raises:
            UserError: fewer images than a batch, or a loss that is not a finite number.
        """
        if len(training) < batch_size:
            raise UserError(
                f"train.batch_size is {batch_size}, but there are only {len(training)} training images: lower it or add images."
            )
        while self.state.epoch <= self.last_epoch(epochs):
            began = time.perf_counter()
            images_per_second = self._train(training, batch_size, seed, on_step)
            self._validate(validation, batch_size, on_validation_step)
            result = self._result(time.perf_counter() - began, images_per_second)
            self.state.finish_epoch(result, self.average or self.model)
            on_epoch(result)
        self.model.set_weights(self.state.best)

    def last_epoch(self, epochs: int) -> int:
        """The epoch after which the run ends, as far as one can say now: `epochs`, or an earlier one."""
        history = self.state.history
        best = next((epoch.epoch for epoch in history if epoch.val_loss == self.state.least), 0)
        if self.patience and len(history) - max(best, self.head_epochs) >= self.patience:
            return len(history)
        return self.budget.last_epoch(history, epochs) if self.budget else epochs

    def _result(self, seconds: float, images_per_second: float) -> Epoch:
        return Epoch(
            epoch=self.state.epoch,
            loss=float(self.train_loss.result()),
            accuracy=float(self.train_accuracy.result()),
            val_loss=float(self.test_loss.result()),
            val_accuracy=float(self.test_accuracy.result()),
            learning_rate=self.state.learning_rate,
            seconds=seconds,
            images_per_second=images_per_second,
        )

    def _train(self, training: Split, batch_size: int, seed: int, on_step: Callable[[Progress], None]) -> float:
        """The rest of a pass over the training images; returns how many a second."""
        state = self.state
        if state.step == 0:
            self.train_loss.reset_state()
            self.train_accuracy.reset_state()
        draws = self.augmentation.draw(len(training), seed, state.epoch)
        order = epoch_order(len(training), seed, state.epoch)
        done, steps = state.step, len(training) // batch_size
        began, rate = time.perf_counter(), 0.0
        for images, labels, rows in batches(training, order[done * batch_size :], batch_size, drop_remainder=True):
            learn = self.head_step if state.epoch <= self.head_epochs else self.train_step
            loss, learning_rate = learn(images, labels, tf.gather(draws, rows))
            state.step += 1
            state.learning_rate = float(learning_rate)
            if not math.isfinite(float(loss)):
                raise UserError(
                    f"the loss became {float(loss)} at step {state.step} of {steps} in epoch {state.epoch}, where the learning "
                    f"rate was {state.learning_rate:.3g}; the same command would come to the same: lower train.learning_rate "
                    "or lengthen train.warmup_epochs."
                )
            rate = (state.step - done) * batch_size / (time.perf_counter() - began)
            on_step(
                Progress(
                    epoch=state.epoch,
                    step=state.step,
                    steps=steps,
                    loss=float(self.train_loss.result()),
                    accuracy=float(self.train_accuracy.result()),
                    images_per_second=rate,
                )
            )
        return rate

    def _validate(self, validation: Split, batch_size: int, on_step: Callable[[], None]) -> None:
        self.test_loss.reset_state()
        self.test_accuracy.reset_state()
        for images, labels, _ in batches(validation, np.arange(len(validation)), batch_size):
            self.test_step(images, labels)
            on_step()
        if not math.isfinite(float(self.test_loss.result())):
            raise UserError(
                f"the validation loss is {float(self.test_loss.result())} after epoch {self.state.epoch}, where the learning "
                f"rate was {self.state.learning_rate:.3g}; the same command would come to the same: lower train.learning_rate "
                "or lengthen train.warmup_epochs."
            )


def _unless_lost(loss: tf.Tensor, numbers: Sequence[tf.Tensor | keras.Variable]) -> tf.Tensor:
    """The loss, or NaN where an offset, a scale or a bias, or the gradient of one, is no finite number.

    In bfloat16 a NaN may not come through to the loss (`resnet.network.layers.ReLU`). It does come through to these gradients,
    each of which is a sum over all pixels of a channel; there are few of them.
    """
    total = tf.reduce_sum(tf.concat([one for one in numbers if len(one.shape) == 1], axis=0))
    return tf.where(tf.math.is_finite(total), loss, tf.constant(float("nan")))
