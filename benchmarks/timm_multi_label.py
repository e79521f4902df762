"""The peer of `benchmarks.multi_label`: timm's ResNet-18 with its binary cross-entropy. It needs torch and timm.

It is called with the folder of the arrays, and then epochs, learning rate, seed, batch size, label smoothing and shift.
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.loss import BinaryCrossEntropy


def main(folder: Path, *, epochs: int, rate: float, seed: int, batch: int, smoothing: float, shift: float) -> None:
    """Trains, and writes the logits of validation and test to `logits.npz`, none if a loss is not a finite number."""
    with np.load(folder / "arrays.npz") as found:
        arrays = dict(found)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    model = timm.create_model("resnet18", num_classes=arrays["training_truth"].shape[1]).to(memory_format=torch.channels_last)
    loss_object = BinaryCrossEntropy(smoothing=smoothing, smooth_dense=True)  # without it, it would not smooth these
    steps = len(arrays["training"]) // batch
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(step, steps, epochs * steps))
    targets = torch.tensor(arrays["training_truth"], dtype=torch.float32)
    least, best = math.inf, dict[str, Any]()
    for epoch in range(epochs):
        model.train()
        order = generator.permutation(len(arrays["training"]))
        for number in range(steps):
            rows = order[number * batch : (number + 1) * batch]
            images = np.stack([_shifted(image, shift, generator) for image in arrays["training"][rows]])
            optimizer.zero_grad()
            batch_loss = loss_object(model(_normalised(images)), targets[rows])
            if not math.isfinite(batch_loss.item()):
                np.savez(folder / "logits.npz")
                return
            batch_loss.backward()
            optimizer.step()
            schedule.step()
        logits = {name: _predict(model, arrays[name]) for name in ("validation", "test")}
        truth = torch.tensor(arrays["validation_truth"], dtype=torch.float32)
        loss = float(torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(logits["validation"]), truth))
        print(f"timm: epoch {epoch + 1}/{epochs}, val_loss {loss:.4f}", flush=True)
        if not math.isfinite(loss):
            np.savez(folder / "logits.npz")
            return
        if loss < least:
            least, best = loss, logits
    np.savez(folder / "logits.npz", **best)


def _factor(step: int, warmup: int, total: int) -> float:
    """Of the learning rate: it rises in the first epoch, then falls as a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _shifted(image: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """The image moved by up to a share of its side in each direction, with its border repeated."""
    most = round(share * image.shape[0])
    padded = np.pad(image, ((most, most), (most, most), (0, 0)), mode="edge")
    top, left = generator.integers(0, 2 * most + 1, 2)
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def _normalised(images: np.ndarray) -> torch.Tensor:
    mean, deviation = (np.array(one, np.float32) * 255 for one in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    tensor = torch.tensor((images.astype(np.float32) - mean) / deviation).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _predict(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    model.eval()
    parts = [model(_normalised(images[start : start + 256])).numpy() for start in range(0, len(images), 256)]
    return np.concatenate(parts)


if __name__ == "__main__":
    _, _folder, _epochs, _rate, _seed, _batch, _smoothing, _shift = sys.argv
    main(
        Path(_folder),
        epochs=int(_epochs),
        rate=float(_rate),
        seed=int(_seed),
        batch=int(_batch),
        smoothing=float(_smoothing),
        shift=float(_shift),
    )
