"""Measures steps of training and validation on this machine, with the project's own trainer."""

import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from commands.advice.data_facts import Sample
from commands.advice.forecast import Timing
from resnet.core.parallel import in_order
from resnet.images.decoding import load
from tasks.build import Build
from tasks.stage.params import Params
from tasks.train import Train

if TYPE_CHECKING:
    from resnet.dataset.arrays import Split

_STEPS = 4  # of training in each of two epochs; the first step compiles
_DECODED = 96  # images that are decoded to measure `preprocess`


class Stopwatch:
    """Measures networks; imports TensorFlow when it is made.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        from resnet.network.startup import start_tensorflow

        began = time.perf_counter()
        start_tensorflow()
        from resnet.training import recipe  # noqa: F401 - imports the rest of what the stages import

        self._start = time.perf_counter() - began
        self._classes = classes
        self._precisions: dict[str, str] = {}  # what `train.precision` means here

    def time(self, params: Params, size: int | None = None) -> Timing:
        """Trains for two short epochs on random images; the network computes as long on others.

        Args:
            params: the images, the network and the recipe.
            size: height and width of the training images, if not `preprocess.image_size`, as in `train.size_schedule`.
        """
        import keras

        from resnet.network.model import ResNet
        from resnet.network.precision import choose_precision, dtype_policy
        from resnet.training.recipe import make_trainer

        build, train = params.section(Build), params.section(Train)
        # All steps train the whole network at one size.
        single = {"epochs": 2, "restarts": [], "freeze_epochs": 0, "patience": 0, "budget_minutes": 0}
        side = params.value("preprocess.image_size", int)
        stored = params.value("preprocess.training_size", object)
        train = train.model_copy(update={**single, "size_schedule": [size] if size else []})
        if train.precision not in self._precisions:  # it says what it chose
            self._precisions[train.precision] = choose_precision(train.precision)
        precision = self._precisions[train.precision]
        began = time.perf_counter()
        keras.utils.set_random_seed(0)
        with dtype_policy(precision):
            model = ResNet((side, side, 3), self._classes, **build.model_dump(exclude={"weights"}))
        made = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            whole = stored if isinstance(stored, int) else None
            training = _random_split(Path(folder) / "training", _STEPS * train.batch_size, self._classes, side, whole)
            validation = _random_split(Path(folder) / "validation", 2 * train.batch_size, self._classes, side)
            trainer = make_trainer(train.recipe(), model, _STEPS, precision, training.labels)
            steps, validations = [time.perf_counter()], list[float]()
            lengths: list[float] = []

            def on_step(_: object) -> None:
                lengths.append(time.perf_counter() - steps[-1])
                steps.append(time.perf_counter())

            def on_validation_step() -> None:
                validations.append(time.perf_counter() - steps[-1])
                steps.append(time.perf_counter())

            trainer.fit(
                training,
                validation,
                epochs=2,
                batch_size=train.batch_size,
                seed=0,
                on_step=on_step,
                on_validation_step=on_validation_step,
            )
        keras.backend.clear_session()
        # The first step of each epoch also draws the random numbers and starts the reading.
        step, check = statistics.median(lengths[1:]), statistics.median(validations[1:])
        tracing = max(0.0, lengths[0] - step) + max(0.0, validations[0] - check)
        return Timing(self._start, made, tracing, step, check / train.batch_size)


def _random_split(folder: Path, images: int, classes: int, size: int, whole: int | None = None) -> "Split":
    """A split of random images; of whole photographs if a size for them is given."""
    import numpy as np

    from resnet.dataset.arrays import Split, SplitWriter

    generator = np.random.default_rng(0)
    stored = whole or size
    with SplitWriter(folder, images, stored) as writer:
        for number in range(images):
            pixels = generator.integers(0, 256, (stored, stored, 3), dtype=np.uint8)
            writer.add(pixels, number % classes, 4 / 3 if whole else None)
    return Split(folder, classes)


def preprocess_seconds(sample: Sample, images: int, size: int) -> float:
    """The time of the stage `preprocess`, from that of decoding and resizing some images.

    Args:
        sample: some of the images.
        images: how many there are.
        size: height and width to resize them to.
    """
    some = sample.encoded[:: math.ceil(len(sample.encoded) / _DECODED)]
    began = time.perf_counter()
    for _ in in_order(lambda encoded: load(encoded, size), some):
        pass
    each = (time.perf_counter() - began) / len(some)
    return 1.0 + images * each
