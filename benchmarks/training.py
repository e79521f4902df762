"""Images per second and peak memory of a training step: the step of the `train` stage against Keras and PyTorch.

Our step takes uint8 images, augments and normalises them. The peers take normalised floats, which favours them.

Peers run as their documentation recommends: channels last, autocast to bfloat16, eager or compiled (PyTorch); with and without
XLA (Keras). All have the same allocator.

`ours-portable` is without the fused kernels of `resnet/native`. `ours-without-...` omits one part, to show its cost: `update`,
`augmentation`, `metrics`, or `smoothing` (label smoothing and weight decay). `ours-bare` omits all of them.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.command import main, parser

CLASSES = 1000
# Arguments of ResNet. `tiny` is for tests of these programs; PyTorch has no network of this kind.
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet50": {},
    "resnet18": {"depth": 18, "stem": "small"},
    "tiny": {"depth": 18, "stem": "small", "blocks": [1], "width": 4},
}
PEERS = ["keras", "keras-bf16", "torch-bf16", "torch-bf16-compiled"]  # and keras-bf16-xla, torch, torch-compiled
RATE = 1e-3


def add_network(made: argparse.ArgumentParser) -> None:
    """Adds the option that chooses one of `NETWORKS`."""
    words = "resnet18 has the stem for small images; tiny shows in seconds that a benchmark runs"
    made.add_argument("--network", choices=list(NETWORKS), default="resnet50", help=words)


def network_option(name: str) -> list[str]:
    """The option that chooses a network, for a command line; none for the default."""
    return [] if name == "resnet50" else ["--network", name]


def ours(name: str, size: int, batch: int, network: str = "resnet50") -> Callable[[], object]:
    """Makes the step of the `train` stage with the parameters of params.yaml: in `auto` precision, or `ours-float32`."""
    trainer = make_trainer(name, size, network)
    import tensorflow as tf

    images, labels = batch_of(size, batch)
    given = tf.constant(images), tf.constant(labels), trainer.augmentation.draw(batch, 0, 1)
    return lambda: float(trainer.train_step(*given)[0])


def make_trainer(name: str, size: int, network: str = "resnet50") -> Any:
    """Makes the trainer of the `train` stage, without the parts that the contender's name omits."""
    from resnet.native.library import SWITCH
    from resnet.network.huge_pages import use_huge_pages
    from resnet.network.precision import choose_precision
    from resnet.network.startup import start_tensorflow

    use_huge_pages()  # all contenders have them already
    if name == "ours-portable":
        os.environ[SWITCH] = "0"
    start_tensorflow()
    precision = "float32" if "float32" in name else choose_precision("auto")
    trainer = trainer_of(size, NETWORKS[network], precision)
    leave_out(trainer, name)
    return trainer


def trainer_of(size: int, network: dict[str, Any], precision: str, *, devices: int = 1) -> Any:
    """Makes a trainer with the parameters of params.yaml, once TensorFlow has been started.

    Args:
        size: height and width of images in pixels.
        network: arguments of `ResNet`.
        precision: to compute in.
        devices: that share a step.
    """
    import keras

    from resnet.network.devices import share_among
    from resnet.network.model import ResNet
    from resnet.network.precision import dtype_policy
    from resnet.training import recipe
    from tasks.stage.graph import DVC_YAML, read_graph
    from tasks.stage.params import PARAMS_YAML, load_params
    from tasks.train import Train

    keras.utils.set_random_seed(0)
    params = load_params(PARAMS_YAML, read_graph(DVC_YAML)).section(Train)
    strategy = share_among(devices)
    with strategy.scope(), dtype_policy(precision):
        model = ResNet((size, size, 3), CLASSES, **network)
    return recipe.make_trainer(params.recipe(), model, 1000, precision, strategy=strategy)


def leave_out(trainer: Any, name: str) -> None:
    """Removes the parts from a trainer that the contender's name omits."""
    from resnet.training.augmentation import Augmentation

    bare = name == "ours-bare"
    if bare or name == "ours-without-augmentation":
        trainer.augmentation = Augmentation()
    if bare or name == "ours-without-smoothing":
        trainer.label_smoothing = trainer.optimizer.l2 = 0.0
    if bare or name == "ours-without-metrics":
        trainer.train_loss = trainer.train_accuracy = _Nothing()
    if bare or name == "ours-without-update":
        trainer.optimizer = _NoUpdate()


class _Nothing:
    def update_state(self, *_: object) -> None:
        """Does nothing."""


class _NoUpdate:
    """Reads one number of each gradient; otherwise TensorFlow would not compute the gradients."""

    learning_rate = 0.0

    def __init__(self) -> None:
        import tensorflow as tf

        self._seen = tf.Variable(0.0)

    def scale_loss(self, loss: Any) -> Any:
        return loss

    def apply(self, gradients: list[Any], _: object) -> None:
        import tensorflow as tf

        self._seen.assign(tf.add_n([tf.reshape(gradient, [-1])[0] for gradient in gradients]))


def keras_applications(name: str, size: int, batch: int, network: str) -> Callable[[], object]:
    """Makes the step of `model.fit` for `keras.applications.ResNet50`."""
    if network != "resnet50":
        raise ValueError(f"keras.applications has no {network}")
    import keras
    import numpy as np
    import tensorflow as tf

    if "bf16" in name:
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"], jit_compile="xla" in name)
    images, labels = batch_of(size, batch)
    data = tf.data.Dataset.from_tensors((normalised(images), labels.astype(np.int64))).repeat()
    model.make_train_function()
    batches = iter(data)
    return lambda: {key: np.asarray(value) for key, value in model.train_function(batches).items()}


def pytorch(name: str, size: int, batch: int, network: str) -> Callable[[], object]:
    """Makes the step of the PyTorch network: channels last, under autocast, eager or compiled."""
    import torch

    from benchmarks.torch_resnet import resnet18, resnet50

    torch.manual_seed(0)
    model = {"resnet18": resnet18, "resnet50": resnet50}[network](CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    forward: Any = torch.compile(model) if name.endswith("compiled") else model
    loss_object = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    images, labels = batch_of(size, batch)
    inputs = torch.from_numpy(normalised(images).transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels.astype("int64"))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            loss = loss_object(forward(inputs), targets)
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def make(name: str, arguments: argparse.Namespace) -> Callable[[], object]:
    """Makes the step of a contender from its name."""
    kind = {"ours": ours, "keras": keras_applications, "torch": pytorch}[name.partition("-")[0]]
    return kind(name, arguments.size, arguments.batch, arguments.network)


def batch_of(size: int, batch: int) -> tuple[Any, Any]:
    """Random images, (batch, size, size, 3) uint8, and labels, (batch,) uint16."""
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return images, generator.integers(0, CLASSES, batch).astype(np.uint16)


def normalised(images: Any) -> Any:
    """The images as the peers take them: float32."""
    return (images.astype("float32") - 120.0) / 57.0


if __name__ == "__main__":
    options = parser("benchmarks.training", (__doc__ or "").splitlines()[0], PEERS, 224, 32)
    add_network(options)
    given = options.parse_args(sys.argv[1:])
    title = "Training" if given.network == "resnet50" else f"Training, {given.network}"
    main("benchmarks.training", title, given, make, ["--network", given.network])
