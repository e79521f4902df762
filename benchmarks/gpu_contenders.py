"""The contenders of `benchmarks.gpu`. Each one is a process that takes turns with the others, see `benchmarks.contenders`.

A name is made of words, joined by hyphens. `ours` is the step of the `train` stage, or the folded network of `predict`:

- `float32`, `bfloat16`, `float16`: the precision; otherwise the one that `train.precision: auto` chooses
- `xla`, `plain`: compiled by XLA or not
- `deterministic`, `free`: with TensorFlow's op determinism or without
- `product`, `convolution`: how 1x1 convolutions are computed
- `fused`: `TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT=1`, which TensorFlow's fusion of normalisation and ReLU asks for
- `fit`: the training loop over images on disk instead of one batch that is held on the device
- `two`, after `fit`: the device is divided into two logical ones, which share each step
- `single`, after `fit`: every step is a call of its own, instead of up to `steps_per_call` steps
- `copied`, after `fit`: the images of each step are copied to the device, instead of staying there
- `held`: inference of a batch that is held on the device, by a `tf.function`, instead of one in main memory

Where a name does not say, the kernels are those of `resnet.network.device_kernels.GPU`.

`torch` is PyTorch as its documentation recommends: channels last, autocast (with a gradient scaler for float16), cuDNN's search
for the fastest algorithm, TF32, and the fused optimizer. `compiled` adds `torch.compile`, `autotuned` its mode `max-autotune`.
Its images are normalised floats, which favours it: ours are uint8, which the step augments and normalises.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.command import figures, repeat
from benchmarks.contenders import Measure, serve
from benchmarks.training import CLASSES, NETWORKS, RATE, batch_of, normalised, trainer_of

PRECISIONS = ("float32", "bfloat16", "float16")
_SWITCHES = {
    "xla": ("xla", True),
    "plain": ("xla", False),
    "deterministic": ("deterministic", True),
    "free": ("deterministic", False),
    "product": ("products", True),
    "convolution": ("products", False),
    "fused": ("fused", True),
    "two": ("devices", 2),
    "fit": ("fit", True),
    "held": ("held", True),
    "single": ("single", True),
    "copied": ("copied", True),
}
_OF_LOOP = {"two", "single", "copied"}  # words about the training loop
_BATCHES = 30  # in the epoch of `fit`
_MANY_BATCHES = 300  # of images that are so small that a step takes a few milliseconds
_SMALL = 64  # pixels


@dataclass(frozen=True)
class Ours:
    """What the name of one of our contenders says; None where it does not say."""

    precision: str = "auto"
    xla: bool | None = None
    products: bool | None = None
    deterministic: bool = True
    fused: bool = False
    devices: int = 1
    fit: bool = False
    held: bool = False
    single: bool = False
    copied: bool = False


def read_name(name: str) -> Ours:
    """Reads the name of one of our contenders.

    Raises:
        ValueError: it has an unknown word.
    """
    first, *words = name.split("-")
    found: dict[str, Any] = {}
    for word in words:
        if word not in _SWITCHES and word not in PRECISIONS:
            raise ValueError(f"{name} has the word {word!r}; known are {', '.join((*PRECISIONS, *_SWITCHES))}")
        key, value = _SWITCHES.get(word, ("precision", word))
        found[key] = value
    if first != "ours":
        raise ValueError(f"{name} does not begin with 'ours'")
    if (of_loop := _OF_LOOP.intersection(words)) and "fit" not in words:
        raise ValueError(f"{name} has the word {sorted(of_loop)[0]!r}, which is about the training loop alone: add 'fit'")
    return Ours(**found)


def start(choice: Ours, device: str) -> Any:
    """Starts TensorFlow for a choice; returns the kernels to use.

    Args:
        choice: what the name says.
        device: "gpu" or "cpu".
    """
    if choice.fused:
        os.environ["TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"] = "1"
    from resnet.network.startup import start_tensorflow

    gpus = start_tensorflow(deterministic=choice.deterministic)
    if device == "gpu" and not gpus:
        raise RuntimeError("TensorFlow finds no GPU")
    import tensorflow as tf

    from resnet.network.device_kernels import GPU

    if choice.devices > 1:
        divide(tf.config.list_physical_devices(device.upper())[0], choice.devices)
    return replace(
        GPU,
        xla=_chosen(choice.xla, GPU.xla),
        products=_chosen(choice.products, GPU.products),
        steps_per_call=1 if choice.single else GPU.steps_per_call,
        kept_bytes=0.0 if choice.copied else GPU.kept_bytes,
    )


def _chosen(choice: bool | None, usual: bool) -> bool:
    return usual if choice is None else choice


def divide(device: Any, parts: int) -> None:
    """Divides a device into logical ones, before TensorFlow uses it."""
    import tensorflow as tf

    limit = None
    if device.device_type == "GPU":
        from resnet.network.occupancy import usable

        known = usable()
        if not known:
            raise RuntimeError("nvidia-smi does not say how much memory the GPU has, or MIG divides it")
        limit = int(0.9 * known[0].total_mib / parts)  # a tenth is left for the context and the libraries
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration(memory_limit=limit)] * parts)


def training(choice: Ours, arguments: argparse.Namespace, folder: Path) -> Measure:
    """Traces our training step and makes the function that measures it.

    Args:
        choice: what the name says.
        arguments: of the process.
        folder: for the images of `fit`.
    """
    import tensorflow as tf

    from resnet.network.precision import choose_precision

    precision = choose_precision("auto") if choice.precision == "auto" else choice.precision
    trainer = trainer_of(arguments.size, NETWORKS[arguments.network], precision, devices=choice.devices)
    if choice.fit:
        return epochs(trainer, arguments.size, arguments.batch, folder)
    images, labels = batch_of(arguments.size, arguments.batch)
    given = tf.constant(images), tf.constant(labels), trainer.augmentation.draw(arguments.batch, 0, 1)

    def step() -> float:
        loss: Any = None
        for _ in range(arguments.steps):
            loss = trainer.train_step(*given)[0]
        return float(loss)

    return _timed(step, arguments)


def epochs(trainer: Any, size: int, batch: int, folder: Path) -> Measure:
    """Makes the function that measures the training loop over images on disk; an epoch traces the steps."""
    training, validation = splits(folder, size, batch, _MANY_BATCHES if size < _SMALL else _BATCHES)
    rates: list[float] = []

    def turn() -> dict[str, float]:
        trainer.state.epoch, trainer.state.step = 1, 0
        trainer.fit(
            training,
            validation,
            epochs=1,
            batch_size=batch,
            seed=0,
            on_step=lambda progress: rates.append(progress.images_per_second),
        )
        return figures(1, 1 / rates[-1])

    turn()
    return turn


def splits(folder: Path, size: int, batch: int, batches: int) -> tuple[Any, Any]:
    """Writes a split for training, of so many batches, and one of one batch for validation."""
    from resnet.dataset.arrays import Split, SplitWriter

    images, _ = batch_of(size, batch)
    made = []
    for name, count in (("training", batches * batch), ("validation", batch)):
        with SplitWriter(folder / name, count, size) as writer:
            for row in range(count):
                writer.add(images[row % batch], row % 10)
        made.append(Split(folder / name, CLASSES))
    return made[0], made[1]


def inference(choice: Ours, arguments: argparse.Namespace) -> Measure:
    """Makes the function that measures the folded network."""
    import tensorflow as tf

    from benchmarks.inference import trained_network
    from resnet.network.folding import fold, folded_network
    from resnet.network.precision import choose_precision

    precision = choose_precision("auto") if choice.precision == "auto" else choice.precision
    model = trained_network(arguments.size, network=NETWORKS[arguments.network])
    images, _ = batch_of(arguments.size, arguments.batch)
    if not choice.held:
        network = folded_network(model, precision)
        return _timed(lambda: [network(images) for _ in range(arguments.steps)], arguments)
    folded, held = tf.function(fold(model, precision), autograph=False, jit_compile=bool(choice.xla)), tf.constant(images)

    def step() -> object:
        logits: Any = None
        for _ in range(arguments.steps):
            logits = folded(held)
        return logits.numpy()

    return _timed(step, arguments)


def pytorch(name: str, arguments: argparse.Namespace) -> Measure:
    """Makes the function that measures the PyTorch network in training or inference."""
    import torch

    torch.manual_seed(0)
    if arguments.device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no GPU")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32
    torch.backends.cudnn.allow_tf32 = True
    step = (_torch_training if arguments.kind == "training" else _torch_inference)(name, arguments)
    cuda: Any = torch.cuda
    return _timed(step, arguments, (lambda: cuda.max_memory_allocated() / 1e6) if arguments.device == "gpu" else None)


def _torch_training(name: str, arguments: argparse.Namespace) -> Callable[[], object]:
    import torch

    model, forward, place = _torch_network(name, arguments)
    half = next((word for word in ("bfloat16", "float16") if word in name.split("-")), None)
    images, labels = batch_of(arguments.size, arguments.batch)
    inputs = torch.from_numpy(normalised(images).transpose(0, 3, 1, 2)).to(place).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels.astype("int64")).to(place)
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    loss_object = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    scaler = torch.amp.GradScaler(place, enabled=half == "float16")

    def step() -> float:
        loss: Any = None
        for _ in range(arguments.steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(place, getattr(torch, half or "bfloat16"), enabled=half is not None):
                loss = loss_object(forward(inputs), targets)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return float(loss)

    return step


def _torch_inference(name: str, arguments: argparse.Namespace) -> Callable[[], object]:
    import torch

    model, forward, place = _torch_network(name, arguments)
    half: Any = next((getattr(torch, word) for word in ("bfloat16", "float16") if word in name.split("-")), torch.float32)
    model.eval().to(half)
    images, _ = batch_of(arguments.size, arguments.batch)
    inputs = torch.from_numpy(normalised(images).transpose(0, 3, 1, 2)).to(place, half)
    inputs = inputs.contiguous(memory_format=torch.channels_last)

    def step() -> object:
        logits: Any = None
        with torch.inference_mode():
            for _ in range(arguments.steps):
                logits = forward(inputs)
            return logits.float().cpu()

    return step


def _torch_network(name: str, arguments: argparse.Namespace) -> tuple[Any, Any, str]:
    """The network, what calls it, and PyTorch's name of the device."""
    import torch

    from benchmarks.torch_resnet import resnet18, resnet50

    place = "cuda" if arguments.device == "gpu" else "cpu"
    made: Any = {"resnet18": resnet18, "resnet50": resnet50}[arguments.network](CLASSES)
    model = made.to(place)
    if "autotuned" in name:
        return model, torch.compile(model, mode="max-autotune"), place
    return model, torch.compile(model) if "compiled" in name else model, place


def _timed(step: Callable[[], object], arguments: argparse.Namespace, memory: Callable[[], float] | None = None) -> Measure:
    """Runs a step twice, which traces and compiles it, and makes the function that measures it."""
    for _ in range(2):
        step()
    measure = repeat(step, arguments.batch * arguments.steps, arguments.seconds)
    return (lambda: measure() | {"gpu_memory_mb": memory()}) if memory else measure


def _gpu_memory() -> float:
    """The most memory of all GPUs together that TensorFlow used at once, in MB (10^6 bytes)."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return sum(tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"] for gpu in gpus) / 1e6


def options(arguments: argparse.Namespace) -> list[str]:
    """The options of a contender's process."""
    names = ("kind", "size", "batch", "network", "device", "steps", "seconds")
    return [part for name in names for part in (f"--{name}", str(getattr(arguments, name)))]


def parser() -> argparse.ArgumentParser:
    """The parser of a contender's process."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu_contenders", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--contender", required=True)
    made.add_argument("--kind", choices=["training", "inference"], default="training")
    made.add_argument("--size", type=int, default=224)
    made.add_argument("--batch", type=int, default=256)
    made.add_argument("--network", choices=list(NETWORKS), default="resnet50")
    made.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    made.add_argument("--steps", type=int, default=10, help="steps between two waits for a result")
    made.add_argument("--seconds", type=float, default=3.0, help="least duration of a turn")
    return made


def main() -> None:
    """Runs the process of a contender."""
    arguments = parser().parse_args()
    name: str = arguments.contender
    if name.startswith("torch"):
        serve(pytorch(name, arguments))
        return
    choice = read_name(name)
    chosen = start(choice, arguments.device)
    from resnet.network.device_kernels import using

    with using(chosen), tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        trains = arguments.kind == "training"
        measure = training(choice, arguments, Path(folder)) if trains else inference(choice, arguments)
        serve((lambda: measure() | {"gpu_memory_mb": _gpu_memory()}) if arguments.device == "gpu" else measure)


if __name__ == "__main__":
    main()
