"""The training loop: compiled steps for training and validation, and the epochs around them."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.dataset.balanced_sampling import balanced_rows
from resnet.dataset.batches import epoch_order, read_ahead, require_full_batch
from resnet.native.copies import KernelCopies
from resnet.native.forward import training_forward
from resnet.network.device_kernels import kernels
from resnet.network.normalisation import normalise
from resnet.training.augmentation import Augmentation
from resnet.training.averaging import MovingAverage
from resnet.training.budget import Budget
from resnet.training.calls import Call, divide_into_calls
from resnet.training.gradients import one_after_another, one_on_each_host
from resnet.training.hosts import Hosts, places
from resnet.training.kept import Kept, room
from resnet.training.mixing import Mixed
from resnet.training.multi_label import MultiLabel
from resnet.training.objective import objective
from resnet.training.optimizers import updates_at_once
from resnet.training.parts import enough_for_step, enough_for_validation, keep_images
from resnet.training.shares import Batches, Delivery
from resnet.training.sizes import SizeSchedule
from resnet.training.state import Epoch, Progress, TrainingState

MAX_COUNTED = 100  # classes for which the confusions are counted: 40 kB, and a cell that can be seen


class DivergedError(UserError):
    """A loss is not a finite number."""


class Trainer:
    """Trains a network on one split and validates it on another, starting from its `state`.

    Args:
        model: maps normalised images to logits.
        optimizer: built for the model's trainable variables; it applies the weight decay.
        augmentation: of training images.
        label_smoothing: see `resnet.training.objective`.
        class_weights: (classes,) float32, see `resnet.training.objective`.
        multi_label: for labels that are sets of classes, see `resnet.training.multi_label`; without class weights. By default
            each image has one label.
        balanced: whether all classes have the same number of images in an epoch, see `balanced_rows`.
        accumulate: number of parts into which each batch is split. The parts go through the network one after another and
            their gradients are averaged, which needs less memory. Batch normalisation uses the statistics of each part. Must
            divide the batch size.
        ema: decay of an exponential moving average of the weights. The averaged weights are then validated and kept. 0
            disables it.
        freeze_epochs: number of first epochs in which only the last layer is trained and all other layers are frozen.
        patience: epochs without a lower validation loss before early stopping; 0 disables it. Frozen epochs do not count, nor
            those before the last of `sizes`.
        budget: limit of time.
        sizes: of the training images; by default that for which the network was made. Training images are resized in the
            augmentation, and the layers take images of any size. Validation always has the size of the network.
        strategy: distributes each batch over devices; `model` and `optimizer` must have been made in its scope. By default
            one device takes the whole batch. Each device normalises its part by that part's statistics, and the moving
            statistics of the first device are kept, as in PyTorch's `DistributedDataParallel`. The number of devices must
            divide the batch size.
        hosts: that compute the parts of `accumulate` at the same time, one part each, with the result of one host but for
            rounding. By default one host computes all.

    Attributes:
        accumulate: see `divide`.
        tried: whether a trial showed that a step in so many parts fits into memory, see `resnet.training.parts.find_parts`.
        kept: the images that stay on the devices, see `keep`.
        state: where the run is. Restore it before `fit` to resume a run; the result is then the same, bit for bit.
        train_step: trains on one batch, see `_train_on`.
        frozen_step: as `train_step`, but trains only the last layer. Batch normalisation uses its moving statistics and keeps
            them.
        train_steps: trains on several batches, see `_train_on_several`.
        frozen_steps: as `train_steps`, but each step is a `frozen_step`.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        augmentation: Augmentation,
        label_smoothing: float = 0.0,
        class_weights: npt.NDArray[np.float32] | None = None,
        multi_label: MultiLabel | None = None,
        balanced: bool = False,
        accumulate: int = 1,
        ema: float = 0.0,
        freeze_epochs: int = 0,
        patience: int = 0,
        budget: Budget | None = None,
        sizes: SizeSchedule | None = None,
        strategy: tf.distribute.Strategy | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.multi_label = multi_label
        self.balanced = balanced
        self.tried = False
        self.kept = Kept()
        self.ema = MovingAverage(model, ema) if ema else None
        self.freeze_epochs = freeze_epochs
        self.patience = patience
        self.budget = budget
        self.sizes = sizes
        self.strategy = strategy or tf.distribute.get_strategy()
        self.hosts = hosts or Hosts()
        self.divide(accumulate)
        self._copies = KernelCopies(model.layers if self.strategy.num_replicas_in_sync == 1 else [])
        self.loss_object = (
            multi_label.cross_entropy if multi_label else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        self._may_hide_nan = any(layer.compute_dtype == "bfloat16" for layer in model.layers)
        self.train_loss = keras.metrics.Mean(name="train_loss")
        make_accuracy = multi_label.accuracy if multi_label else keras.metrics.SparseCategoricalAccuracy
        self.train_accuracy = make_accuracy(name="train_accuracy")
        self.validation_loss = keras.metrics.Mean(name="validation_loss")
        self.validation_accuracy = make_accuracy(name="validation_accuracy")
        classes = model.output_shape[-1]
        counted = classes <= MAX_COUNTED and not multi_label
        self._confusion = tf.Variable(tf.zeros((classes, classes))) if counted else None
        # The metrics of validation are not saved: a resumed run repeats an interrupted validation from its start.
        self.state = TrainingState(
            model=model.variables,
            optimizer=optimizer.variables,
            metrics=[*self.train_loss.variables, *self.train_accuracy.variables],
            ema=self.ema.variables if self.ema else [],
        )

    def divide(self, parts: int) -> None:
        """Sets `accumulate`, the number of parts of a batch. The steps are compiled again when they are called."""
        self.accumulate = parts
        # No AutoGraph: there is no Python control flow to convert, and searching for it took a third of the tracing time.
        compiled = tf.function(self._train_on, autograph=False, jit_compile=True) if kernels().xla else self._train_on
        self.train_step = tf.function(partial(compiled, training=True), autograph=False)
        self.frozen_step = tf.function(partial(compiled, training=False), autograph=False)
        self.train_steps = tf.function(partial(self._train_on_several, self.train_step), autograph=False)
        self.frozen_steps = tf.function(partial(self._train_on_several, self.frozen_step), autograph=False)

    def keep(self, training: Split, validation: Split) -> bool:
        """Keeps the images of both splits on the devices, or those of training, if they fit into a share of the free memory.

        The batches are the same, bit for bit. Several hosts keep none: a trial whether a step fits beside the images, which
        `resnet.training.parts.keep_images` makes, would have to be the same on all of them.

        Returns:
            Whether images are kept.
        """
        if self.kept.splits != (training, validation):
            devices = self.delivery().devices
            self.kept.drop()
            self.kept = Kept((training, validation), devices, room(len(devices)) if self.hosts.count == 1 else 0.0)
        return bool(self.kept)

    def call(self, batches: Batches, *, stacked: bool, frozen: bool) -> tuple[tf.Tensor, ...]:
        """Starts the steps of a call.

        Args:
            batches: of several steps, stacked, or of a single one.
            stacked: which of both.
            frozen: whether only the last layer is trained.

        Returns:
            The figures of `Call`.
        """
        if stacked:
            return tuple((self.frozen_steps if frozen else self.train_steps)(batches))
        loss, learning_rate = (self.frozen_step if frozen else self.train_step)(*batches)
        return loss, learning_rate, self.train_loss.result(), self.train_accuracy.result()

    def _train_on_several(self, step: "Callable[..., tuple[tf.Tensor, tf.Tensor]]", batches: Batches) -> tuple[tf.Tensor, ...]:
        """Steps one after another, in a loop: an unrolled one would be traced for each step, and for each number of steps.

        Each step is a call of the function that does a single step, so the loop is outside of what XLA compiles, and the bits
        are those of single steps.

        Args:
            step: `train_step` or `frozen_step`.
            batches: the tensors of `_train_on` for each step, as images (steps, batch, height, width, 3).

        Returns:
            The cross-entropies and learning rates of the steps, and loss and accuracy of the epoch after each step: four times
            (steps,) float32.
        """
        tensors = batches.images, batches.labels, batches.draws, batches.aspects
        count = self.strategy.experimental_local_results(batches.labels)[0].shape[0]

        def of_step(number: tf.Tensor, tensors: tf.Tensor | None) -> tf.Tensor | None:
            return None if tensors is None else self.strategy.run(lambda one: one[number], (tensors,))

        def add(number: tf.Tensor, *figures: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            images, labels, draws, aspects = (of_step(number, one) for one in tensors)
            loss, learning_rate = step(images, labels, draws, batches.size, aspects)
            found = loss, learning_rate, self.train_loss.result(), self.train_accuracy.result()
            return number + 1, *(all_.write(number, one) for all_, one in zip(figures, found, strict=True))

        start = tf.constant(0), *(tf.TensorArray(tf.float32, count, element_shape=()) for _ in range(4))
        _, *figures = tf.while_loop(lambda number, *_: number < count, add, start, parallel_iterations=1)
        return tuple(one.stack() for one in figures)

    def _train_on(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draws: tf.Tensor,
        size: int | None = None,
        aspects: tf.Tensor | None = None,
        *,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A step on all variables, or on those of the last layer, with batch normalisation that learns or does not.

        Args:
            images: (batch, height, width, 3) uint8. Several devices need these and the other tensors as `Delivery.shares`.
            labels: (batch,) uint16.
            draws: (batch, DRAWS or more) float32, the random numbers of the augmentation.
            size: height and width to which the images are resized, a step is traced for each; by default the network's.
            aspects: (batch,) float32, if the images were squeezed to squares, see `Augmentation`.
            training: whether all variables are trained.

        Returns:
            The batch's cross-entropy and the learning rate, both () float32.
        """
        variables = self.model.trainable_variables if training else self.model.layers[-1].trainable_variables
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)

        def on_device(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, aspects: tf.Tensor | None) -> tf.Tensor:
            augmented = self.augmentation(images, draws, size or self.model.input_shape[1], aspects)
            # TensorFlow has few kernels on GPUs for uint16, and would take the labels to the processor and back.
            batch = self.augmentation.mix(normalise(augmented), tf.cast(labels, tf.int64), draws)
            if self._neighbour:  # it was needed by the image before it
                batch = batch.part(0, batch.labels.shape[0] - 1)
            return self._update(batch, variables, training)

        losses = self.strategy.run(on_device, (images, labels, draws, aspects))
        cross_entropy = self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)
        if self.ema:
            self.ema.update(self.optimizer.iterations)
        self.train_loss.update_state(cross_entropy)
        return cross_entropy, learning_rate

    def delivery(self) -> Delivery:
        """Takes the tensors of a batch to the devices that train."""
        return Delivery(self.strategy, neighbour=self._neighbour, kept=self.kept)

    @property
    def _neighbour(self) -> bool:
        """Whether devices or hosts that compute a part of a batch get the image after it, see `share`."""
        return self.augmentation.mixes and (self.hosts.count > 1 or self.strategy.num_replicas_in_sync > 1)

    def _update(self, batch: Mixed, variables: list[keras.Variable], training: bool) -> tf.Tensor:
        """Updates the variables by the gradients of all devices; returns the cross-entropy of this device's part."""
        cross_entropy, gradients = self._gradients_of_parts(batch, variables, training)
        if updates_at_once(self.optimizer):
            finite = self.optimizer.apply_at_once(gradients, variables, self._copies)
            return tf.where(finite, cross_entropy, float("nan")) if self._may_hide_nan else cross_entropy
        if self._may_hide_nan:
            cross_entropy = _nan_unless_finite(cross_entropy, [*gradients, *variables])
        self.optimizer.apply(gradients, variables)  # sums the gradients of all devices
        return cross_entropy

    def _gradients_of_parts(
        self, batch: Mixed, variables: list[keras.Variable], training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Mean cross-entropy and mean gradients over the parts of a batch."""
        if self.accumulate == 1:
            return self._gradients(batch, variables, training)
        if self.hosts.count > 1:  # the batch is the part of this host

            def mine(matches: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
                return self._gradients(batch, variables, training, matches)

            return one_on_each_host(mine, variables, self.hosts, self.train_accuracy)
        return one_after_another(lambda part: self._gradients(part, variables, training), batch, variables, self.accumulate)

    def _gradients(
        self,
        batch: Mixed,
        variables: list[keras.Variable],
        training: bool,
        matches: list[tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Cross-entropy and gradients, which are bfloat16 for a variable that has a copy.

        Args:
            batch: the images.
            variables: whose gradients are wanted.
            training: as in `_train_on`.
            matches: gets what would else be added to the accuracy, (batch,) float32.
        """
        copies = self._copies if updates_at_once(self.optimizer) else None
        with tf.GradientTape() as tape:
            if training:
                logits = training_forward(self.model, copies)(batch.images)
            else:
                logits = self.model.call(batch.images, training=False)  # as in `training_forward`
            if self.multi_label:
                cross_entropy, loss = self.multi_label.objective(logits, batch, self.label_smoothing)
            else:
                cross_entropy, loss = objective(logits, batch, self.label_smoothing, self.class_weights)
            loss = self.optimizer.scale_loss(loss)
            if self.strategy.num_replicas_in_sync > 1:
                loss /= self.strategy.num_replicas_in_sync
        if matches is None:
            self.train_accuracy.update_state(batch.main_labels, logits)
        else:
            right = self.multi_label.matches if self.multi_label else keras.metrics.sparse_categorical_accuracy
            matches.append(right(batch.main_labels, logits))
        return cross_entropy, tape.gradient(loss, copies.in_place_of(variables) if copies else variables)

    # One signature for any batch size: otherwise the smaller last batch would be traced again.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,) * 4, tf.uint8), tf.TensorSpec((None,), tf.uint16)])
    def validation_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Adds images (batch, height, width, 3) uint8 and labels (batch,) uint16 to the metrics of validation."""
        images = normalise(tf.ensure_shape(images, self.model.input_shape))
        logits = self.ema(images) if self.ema else self.model(images, training=False)
        self.validation_loss.update_state(self.loss_object(labels, logits), sample_weight=tf.shape(labels)[0])
        self.validation_accuracy.update_state(labels, logits)
        if self._confusion is not None:
            # A product of zeros and ones: exact, and deterministic on GPUs too, where scattered additions are not.
            true = tf.one_hot(tf.cast(labels, tf.int64), self._confusion.shape[0])
            predicted = tf.one_hot(tf.argmax(logits, axis=1), self._confusion.shape[0])
            self._confusion.assign_add(tf.matmul(true, predicted, transpose_a=True))

    @property
    def confusion(self) -> npt.NDArray[np.int64] | None:
        """(classes, classes) validation images of the last epoch by true and predicted class.

        None for over 100 classes, and for several labels an image.
        """
        return None if self._confusion is None else self._confusion.numpy().astype(np.int64)

    def augmented(self, training: Split, seed: int, count: int) -> npt.NDArray[np.uint8]:
        """The first images of the current epoch as the network gets them, but for normalisation: (count, height, width, 3)."""
        order, draws = self._order(training, seed)
        rows, draws = order[:count], draws[:count]
        augmented = self.augmentation(tf.constant(training.gather(rows)), draws, self.size, _aspects(training, rows))
        images = tf.cast(augmented, tf.float32)
        mixed = self.augmentation.mix(images, tf.constant(training.labels[rows]), draws).images
        return tf.cast(tf.round(tf.clip_by_value(mixed, 0.0, 255.0)), tf.uint8).numpy()

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
        """Trains from `state` to the end, then gives the model the weights of the epoch with the lowest validation loss.

        Every epoch takes as many full batches as there are, in a new order. The few images that do not fill a batch are
        different ones each time.

        During each of the three callbacks `state` can be saved: a run that is restored from it continues exactly as this one.
        An exception from a callback ends the run.

        On GPUs several steps are one call, and the next call is started before the figures of one are read. `on_step` is then
        called for each step of a call after the call has ended; `state` is always that after the last step of a call. So
        callbacks notice a signal, or that a checkpoint is due, at most one call late, and `state` is read when the call that
        was started by then has ended. The calls of an epoch begin at its first step, so those of a resumed run are the same.

        Args:
            training: images to train on.
            validation: images to choose the best epoch by.
            epochs: at least 1. Early stopping or the budget can end training sooner.
            batch_size: at most the number of training images.
            seed: of order and augmentation.
            on_step: called after each step.
            on_validation_step: called after each batch of validation.
            on_epoch: called after each epoch.

        Raises:
            UserError: fewer images than one batch, a loss that is not a finite number, or too little memory.
        """
        require_full_batch(len(training), batch_size)
        self._copies.refresh()  # the state may have been restored
        if self.state.epoch <= self.last_epoch(epochs):
            keep_images(self, training, validation, batch_size)
            self._copies.refresh()  # as after any trial
        while self.state.epoch <= self.last_epoch(epochs):
            began = time.perf_counter()
            with enough_for_step(self, batch_size):
                self._train(training, batch_size, seed, on_step)
            with enough_for_validation(self, batch_size):
                self._validate(validation, batch_size, on_validation_step)
            result = self._result(time.perf_counter() - began)
            self.state.finish_epoch(result, self.ema or self.model)
            on_epoch(result)
        self.hosts.part()
        self.model.set_weights(self.state.best)

    @property
    def size(self) -> int:
        """Height and width of the training images in the current epoch, in pixels."""
        if self.sizes is None:
            return int(self.model.input_shape[1])
        return self.sizes.at(self.state.epoch, self.last_epoch(self.sizes.ends[-1]))

    def last_epoch(self, epochs: int) -> int:
        """The epoch after which the run ends, by what is known now: `epochs`, or an earlier one."""
        history = self.state.history
        best = next((epoch.epoch for epoch in history if epoch.val_loss == self.state.least), 0)
        if self.patience and len(history) - max(best, self.freeze_epochs, self._smaller()) >= self.patience:
            return len(history)
        return self.budget.last_epoch(history, epochs) if self.budget else epochs

    def _smaller(self) -> int:
        """The last finished epoch at another size than the last one: the losses before it are not those of the final size."""
        if self.sizes is None:
            return 0
        return max((epoch.epoch for epoch in self.state.history if epoch.size != self.sizes.sizes[-1]), default=0)

    def _result(self, seconds: float) -> Epoch:
        return Epoch(
            epoch=self.state.epoch,
            loss=float(self.train_loss.result()),
            accuracy=float(self.train_accuracy.result()),
            val_loss=float(self.validation_loss.result()),
            val_accuracy=float(self.validation_accuracy.result()),
            learning_rate=self.state.learning_rate,
            seconds=seconds,
            images_per_second=self.state.images_per_second,
            size=self.size,
        )

    def _train(self, training: Split, batch_size: int, seed: int, on_step: Callable[[Progress], None]) -> None:
        """Trains the rest of an epoch. A resumed run may have no step left in it, only the validation."""
        state = self.state
        if state.step == 0:
            self.train_loss.reset_state()
            self.train_accuracy.reset_state()
        done, steps, size = state.step, len(training) // batch_size, self.size
        order, draws = self._order(training, seed)
        share = batch_size
        if self.hosts.count > 1:
            mine = places(steps, batch_size, self.hosts, neighbour=self._neighbour)
            order, draws, share = order[mine], tf.gather(draws, mine), len(mine) // steps
        calls = divide_into_calls(training, batch_size, self.hosts.count)
        ahead: deque[Call] = deque()
        began = time.perf_counter()

        def report(waiting: int) -> None:
            """Reads the figures of the oldest calls and reports their steps, until so many calls are left."""
            read = [figures for _ in range(len(ahead) - waiting) for figures in ahead.popleft().read()]
            for figures in read:  # all before the first report: if no step is left, a callback saves the rate of the last one
                state.learning_rate = figures.learning_rate
                if not math.isfinite(figures.batch_loss):
                    raise self._no_number(
                        f"the loss became {figures.batch_loss} at step {figures.step} of {steps} in epoch {state.epoch}"
                    )
            for figures in read:
                state.images_per_second = (state.step - done) * batch_size / (time.perf_counter() - began)
                on_step(figures.progress(state.epoch, steps, state.images_per_second))

        delivery = self.delivery()

        def read(call: range) -> tuple[range, npt.NDArray[np.int64], Any]:
            rows = order[call.start * share : call.stop * share]
            return call, rows, delivery.images(training, rows, len(call) if calls.stacked else None)

        for call, rows, images in read_ahead(read, calls.of_epoch(done, steps)):
            batches = delivery.batches(
                images,
                training.labels[rows],
                draws[call.start * share : call.stop * share],
                size=size,
                aspects=_aspects(training, rows),
                steps=len(call) if calls.stacked else None,
            )
            figures = self.call(batches, stacked=calls.stacked, frozen=state.epoch <= self.freeze_epochs)
            state.step = call.stop
            ahead.append(Call(call, figures))
            if len(ahead) > calls.ahead and state.step < steps:
                report(calls.ahead)
        report(0)

    def _order(self, training: Split, seed: int) -> tuple[npt.NDArray[np.int64], tf.Tensor]:
        """The rows of the current epoch in their order, and the random numbers of the augmentation in the same order."""
        images, epoch = len(training), self.state.epoch
        rows = balanced_rows(training.labels, seed, epoch) if self.balanced else None
        places = epoch_order(images, seed, epoch)
        draws = tf.gather(self.augmentation.draw(images, seed, epoch, rows), places)
        return (places if rows is None else rows[places]), draws

    def _validate(self, validation: Split, batch_size: int, on_step: Callable[[], None]) -> None:
        self.validation_loss.reset_state()
        self.validation_accuracy.reset_state()
        if self._confusion is not None:
            self._confusion.assign(tf.zeros_like(self._confusion))
        delivery = self.delivery()
        rows = np.arange(len(validation))
        pieces = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        for images, labels in read_ahead(lambda piece: (delivery.whole(validation, piece), validation.labels[piece]), pieces):
            self.validation_step(images, labels)
            on_step()
        loss = float(self.validation_loss.result())
        if not math.isfinite(loss):
            raise self._no_number(f"the validation loss is {loss} after epoch {self.state.epoch}")

    def _no_number(self, found: str) -> DivergedError:
        self.hosts.part()  # all hosts find it at the same time
        return DivergedError(
            f"{found}, where the learning rate was {self.state.learning_rate:.3g}; running again would give the same: lower "
            "train.learning_rate or increase train.warmup_epochs."
        )


def _aspects(split: Split, rows: npt.NDArray[np.int64]) -> tf.Tensor | None:
    return None if split.aspects is None else tf.constant(split.aspects[rows])


def _nan_unless_finite(loss: tf.Tensor, numbers: Sequence[tf.Tensor | keras.Variable]) -> tf.Tensor:
    """The loss, or NaN if a one-dimensional tensor (an offset, scale or bias, or a gradient of one) is not finite.

    In bfloat16 a NaN may not reach the loss (see `resnet.network.layers.ReLU`). It does reach these gradients, because each is
    a sum over all pixels of a channel. There are few of them, so the check is cheap. `apply_at_once` does it by the way.
    """
    total = tf.reduce_sum(tf.concat([one for one in numbers if len(one.shape) == 1], axis=0))
    return tf.where(tf.math.is_finite(total), loss, tf.constant(float("nan")))
