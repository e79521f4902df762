"""What `tests/test_gpu.py` trains, in a process of its own: `python -m tests.on_device KIND PART ...` prints the results.

KIND is GPU or CPU. Its first device is divided into two logical ones, which can be done only before its first use.
"""

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

MEMORY = 2048  # MiB of a logical GPU
BATCH, SIDE, CLASSES = 8, 32, 3


def prepare(kind: str) -> None:
    """Starts TensorFlow with two logical devices of a kind."""
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    import tensorflow as tf

    limit = MEMORY if kind == "GPU" else None
    parts = [tf.config.LogicalDeviceConfiguration(memory_limit=limit)] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices(kind)[0], parts)


def trainer(precision: str = "float32", devices: int = 1, **options: Any) -> Any:
    """A trainer of a small ResNet; every call makes the same one."""
    import keras

    from resnet.network.devices import share_among
    from resnet.network.model import ResNet
    from resnet.network.precision import dtype_policy
    from resnet.training.augmentation import Augmentation
    from resnet.training.loop import Trainer
    from resnet.training.optimizers import make_optimizer

    keras.utils.set_random_seed(0)
    strategy = share_among(devices)
    with strategy.scope(), dtype_policy(precision):
        # The large stem: it has the max-pooling, whose gradient is the hard one for determinism.
        model = ResNet((SIDE, SIDE, 3), CLASSES, blocks=[1], width=8, zero_init_last_gamma=False)
        scaling = precision == "float16"
        optimizer = make_optimizer("sgd", 0.02, 0.9, 1e-4, model.trainable_variables, loss_scaling=scaling)
    return Trainer(model, optimizer, augmentation=Augmentation(flip=True, shift=0.1), strategy=strategy, **options)


def splits(folder: Path, size: int = SIDE, images: int = 5 * BATCH) -> tuple[Any, Any]:
    """A split of five batches and one of one batch; the classes differ in brightness."""
    import numpy as np

    from resnet.dataset.arrays import Split, SplitWriter

    generator, made = np.random.default_rng(0), []
    for name, count in (("training", images), ("validation", BATCH)):
        with SplitWriter(folder / name, count, size) as writer:
            for row in range(count):
                level = 60 + 60 * (row % CLASSES)
                writer.add((level + generator.integers(-40, 40, (size, size, 3))).astype(np.uint8), row % CLASSES)
        made.append(Split(folder / name, CLASSES))
    return made[0], made[1]


def fit(one: Any, data: tuple[Any, Any], epochs: int = 1, snapshots: list[Any] | None = None) -> list[float]:
    """Trains; returns the losses of the epochs. `snapshots` gets the state after each step."""
    losses: list[float] = []
    one.fit(
        *data,
        epochs=epochs,
        batch_size=BATCH,
        seed=0,
        on_step=lambda _: None if snapshots is None else snapshots.append(one.state.snapshot()),
        on_epoch=lambda epoch: losses.append(epoch.loss),
    )
    return losses


def digest(one: Any) -> str:
    """SHA-256 of all variables of a run."""
    arrays = one.state.snapshot().arrays
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


def trained(data: tuple[Any, Any], *, processor: bool) -> dict[str, Any]:
    """Loss and weights after five steps in float32, with the kernels for GPUs or those for processors."""
    import tensorflow as tf

    from resnet.network.device_kernels import GPU, PROCESSOR, using

    tf.config.experimental.enable_tensor_float_32_execution(False)  # TF32 has the mantissa of float16
    with using(PROCESSOR if processor else GPU):
        one = trainer()
        losses = fit(one, data)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    weights = one.model.trainable_variables
    return {
        "losses": losses,
        "weights": [weight.numpy().tolist() for weight in weights],
        "places": sorted({weight.value.device.rpartition("device:")[2] for weight in weights}),
    }


def precisions(data: tuple[Any, Any]) -> dict[str, float]:
    """The loss of an epoch in each precision."""
    from resnet.network.device_kernels import GPU, using

    with using(GPU):
        return {name: fit(trainer(name), data)[0] for name in ("float32", "bfloat16", "float16")}


def resumed(data: tuple[Any, Any], precision: str, *, xla: bool) -> list[str]:
    """The hashes of a run, of the same one again, and of one that goes on from a state in the middle of the second epoch."""
    from resnet.network.device_kernels import GPU, using

    with using(replace(GPU, xla=xla, steps_per_call=2, steps_ahead=1)):
        whole, again, late = (trainer(precision) for _ in range(3))
        snapshots: list[Any] = []
        fit(whole, data, 2, snapshots)
        fit(again, data, 2)
        middle = snapshots[5]
        assert (middle.facts["epoch"], middle.facts["step"]) == (2, 4), middle.facts
        late.state.restore(middle)
        fit(late, data, 2)
    return [digest(one) for one in (whole, again, late)]


def choices(data: tuple[Any, Any], precision: str, *, xla: bool) -> dict[str, str]:
    """The hash of a run with each choice that must not change the bits: steps per call, and where the images are."""
    from resnet.network.device_kernels import GPU, using

    plain = replace(GPU, xla=xla, steps_per_call=1, kept_bytes=0.0)
    made = {
        "single steps": plain,
        "three steps": replace(plain, steps_per_call=3),
        "kept": replace(plain, kept_bytes=1e9),
        "both": replace(GPU, xla=xla),
    }
    found = {}
    for name, choice in made.items():
        with using(choice):
            one = trainer(precision)
            fit(one, data, 2)
            # The kept images are where the steps are, and nothing else is kept.
            places = {images.words.device.rpartition("device:")[2] for images in one.kept.of(data[0]) or ()}
            found[name] = f"{digest(one)} {' '.join(places)}".strip()
    return found


def shared(data: tuple[Any, Any]) -> dict[str, list[float]]:
    """Loss and norms of the weights after an epoch on two devices, and in two parts on one device."""
    import numpy as np

    from resnet.network.device_kernels import GPU, using

    found = {}
    with using(GPU):
        for name, one in (("devices", trainer(devices=2)), ("parts", trainer(accumulate=2))):
            losses = fit(one, data)
            found[name] = losses + [float(np.linalg.norm(weight.numpy())) for weight in one.model.trainable_variables]
    return found


def used_up() -> str:
    """The error of a step that needs more memory than a logical GPU has."""
    from resnet.core.errors import UserError
    from resnet.network.device_kernels import GPU, using

    with using(GPU), tempfile.TemporaryDirectory() as folder:
        one = trainer()
        images = 40_000  # the numbers before and after each layer are over 5 GB
        data = splits(Path(folder), images=images)
        try:
            one.fit(*data, epochs=1, batch_size=images, seed=0)
        except UserError as error:
            return str(error)
    return "it fitted"


def main() -> None:
    """Prints the results of the parts as JSON."""
    kind, *parts = sys.argv[1:]
    prepare(kind)
    with tempfile.TemporaryDirectory() as folder:
        data = splits(Path(folder))
        work: dict[str, Any] = {
            "gpu-kernels": lambda: trained(data, processor=False),
            "processor-kernels": lambda: trained(data, processor=True),
            "precisions": lambda: precisions(data),
            "resumed": lambda: resumed(data, "bfloat16", xla=False),
            "xla": lambda: resumed(data, "bfloat16", xla=True),
            "shared": lambda: shared(data),
            "choices": lambda: choices(data, "bfloat16", xla=False),
            "choices-xla": lambda: choices(data, "bfloat16", xla=True),
            "used-up": used_up,
        }
        found = {part: work[part]() for part in parts}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
