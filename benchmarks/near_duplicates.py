"""Recall, false alarms and cost of the search for near-duplicates.

    python -m benchmarks.near_duplicates [--json FILE]

The data come with scikit-learn: crops of its two photographs, and its digits of 8 x 8 pixels. Takes about a minute.
"""

import argparse
import io
import itertools
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits, load_sample_images

from resnet.images.perceptual_fingerprint import FINGERPRINT_BYTES, perceptual_fingerprint
from resnet.preparation.near_duplicates import near_duplicates

Change = Callable[[Image.Image], Image.Image]


def main() -> None:
    """Measures, prints the figures, and writes them as JSON if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {
        "found": {name: recall(images) for name, images in data_sets().items()},
        "false_alarms": {name: false_alarms(images) for name, images in data_sets().items()},
        "fingerprint_microseconds": fingerprint_times(),
        "search": search_costs(),
    }
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def data_sets() -> dict[str, list[Image.Image]]:
    """Makes sets of images without near-duplicates.

    The crops do not overlap. Mirrored and rotated versions of a crop are in the sets too, and count as different images.
    """
    crops = [crop for photo in load_sample_images().images for crop in tiles(Image.fromarray(photo), 128)]
    crops += [crop.transpose(way) for crop in crops for way in Image.Transpose]
    return {
        "crops of 128 px": crops,
        "the same at 32 px": [crop.resize((32, 32), Image.Resampling.LANCZOS) for crop in crops],
        "digits of 8 px": [Image.fromarray((pixels * 255 / 16).astype(np.uint8)) for pixels in load_digits().images],
    }


def tiles(photo: Image.Image, size: int) -> list[Image.Image]:
    """Cuts a photograph into as many adjacent squares as fit."""
    corners = itertools.product(range(0, photo.height - size + 1, size), range(0, photo.width - size + 1, size))
    return [photo.crop((left, top, left + size, top + size)) for top, left in corners]


def resized(scale: float) -> Change:
    """Makes a change: resizing by bicubic interpolation."""
    return lambda image: image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def encoded(quality: int) -> Change:
    """Makes a change: encoding as JPEG."""

    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return change


def brightened(factor: float) -> Change:
    """Makes a change: another brightness."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def changes() -> dict[str, list[Change]]:
    """The kinds of change by name; the changes of a kind are averaged."""
    single = {
        "resized": {f"resized to {scale}": resized(scale) for scale in (0.5, 0.7, 1.4, 2.0)},
        "encoded": {f"JPEG at quality {quality}": encoded(quality) for quality in (50, 75, 95)},
        "brightened": {f"brightness times {factor}": brightened(factor) for factor in (0.9, 1.1)},
    }
    kinds = {name: [change] for changes in single.values() for name, change in changes.items()}
    for (first, ones), (second, others) in itertools.permutations(single.items(), 2):
        kinds[f"{first}, then {second}"] = [then(*both) for both in itertools.product(ones.values(), others.values())]
    return kinds


def then(first: Change, second: Change) -> Change:
    """Combines two changes."""
    return lambda image: second(first(image))


def fingerprints(images: Iterable[Image.Image]) -> npt.NDArray[np.uint8]:
    """Returns the perceptual fingerprints: (images, FINGERPRINT_BYTES), uint8."""
    return np.frombuffer(b"".join(map(perceptual_fingerprint, images)), dtype=np.uint8).reshape(-1, FINGERPRINT_BYTES)


def recall(images: list[Image.Image], sample: int = 240) -> dict[str, float]:
    """Returns, for each kind of change, the share of changed copies that are linked to their originals."""
    every = max(1, len(images) // sample)
    images = images[::every]
    originals = fingerprints(images)
    shares = {}
    for kind, ways in changes().items():
        found = [linked_to_originals(originals, fingerprints(map(change, images))) for change in ways]
        shares[kind] = statistics.fmean(found)
    return shares


def linked_to_originals(originals: npt.NDArray[np.uint8], copies: npt.NDArray[np.uint8]) -> float:
    """Returns the share of copies that are linked to their originals; row n of `copies` is a copy of row n of `originals`."""
    links = near_duplicates(np.concatenate([originals, copies]))
    return float(np.mean(np.isin(np.arange(len(originals)), links[links[:, 1] - links[:, 0] == len(originals), 0])))


def false_alarms(images: list[Image.Image]) -> dict[str, float]:
    """Counts links among images without near-duplicates: their number, and the share of images that have one."""
    links = near_duplicates(fingerprints(images))
    return {"images": len(images), "links": len(links), "share": len(np.unique(links)) / len(images)}


def fingerprint_times(repeats: int = 200) -> dict[str, float]:
    """Returns the median time in microseconds of a fingerprint, for RGB images of two sizes."""
    photo = Image.fromarray(load_sample_images().images[0])
    medians = {}
    for width, height in ((32, 32), (640, 480)):
        image, seconds = photo.resize((width, height)), []
        for _ in range(repeats):
            start = time.perf_counter()
            perceptual_fingerprint(image)
            seconds.append(time.perf_counter() - start)
        medians[f"{width} x {height}"] = statistics.median(seconds) * 1e6
    return medians


def search_costs() -> dict[str, dict[str, float]]:
    """Measures the search for sets of several sizes, and for sets of many similar images; each in its own process."""
    cases = {f"{images:,} images": (images, images, 0.0) for images in (15_000, 60_000, 240_000)}
    cases |= {"20,000 equal images": (20_000, 1, 0.0)}
    cases |= {f"20,000 images of 10 looks, noise {noise:.0f} of 127": (20_000, 10, noise) for noise in (1.0, 2.0, 5.0, 8.0)}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        return {name: processes.submit(search_cost, *case).result() for name, case in cases.items()}


def search_cost(images: int, looks: int, noise: float) -> dict[str, float]:
    """Measures the search among noisy copies of some images.

    Args:
        images: the number of fingerprints.
        looks: the number of different images among them.
        noise: standard deviation that is added to the amplitudes, which reach 127.

    Returns:
        Seconds, peak memory in MiB in excess of that before the search, and the number of links.
    """
    random = np.random.default_rng(0)
    prints = synthetic(looks, random)[np.arange(images) % looks]
    if noise:
        amplitudes = prints[:, 8:].view(np.int8) + random.standard_normal((images, 35), dtype=np.float32) * np.float32(noise)
        prints[:, 8:] = np.clip(np.rint(amplitudes), -127, 127).astype(np.int8).view(np.uint8)
    near_duplicates(prints[:1000])  # imports what the search needs
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak memory: proc(5)
    before = peak_megabytes()
    start = time.perf_counter()
    links = near_duplicates(prints)
    return {"seconds": time.perf_counter() - start, "megabytes": peak_megabytes() - before, "links": len(links)}


def synthetic(images: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Makes random fingerprints of unrelated images; amplitudes fall with frequency, as in photographs."""
    vertical, horizontal = np.divmod(np.arange(1, 36), 6)
    amplitudes = random.standard_normal((images, 35), dtype=np.float32) / np.hypot(vertical, horizontal).astype(np.float32)
    amplitudes *= 127 / np.abs(amplitudes).max(axis=1, keepdims=True)
    hashes = random.integers(0, 256, (images, 8), dtype=np.uint8)
    return np.hstack([hashes, np.rint(amplitudes).astype(np.int8).view(np.uint8)])


def peak_megabytes() -> float:
    """Returns the peak memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def report(figures: dict[str, dict[str, Any]]) -> None:
    """Prints all figures."""
    found = figures["found"]
    print(f"{'copies found, %':36}" + "".join(f"{name:>20}" for name in found))
    for kind in changes():
        print(f"{kind:36}" + "".join(f"{100 * shares[kind]:20.1f}" for shares in found.values()))
    print(f"{'mean':36}" + "".join(f"{100 * statistics.fmean(shares.values()):20.1f}" for shares in found.values()))
    for name, alarms in figures["false_alarms"].items():
        print(f"false alarms, {name}: {alarms['share']:.2%} of {alarms['images']:.0f} images, {alarms['links']:.0f} links")
    for size, microseconds in figures["fingerprint_microseconds"].items():
        print(f"fingerprint, {size}: {microseconds:.0f} us")
    for name, cost in figures["search"].items():
        print(f"search, {name}: {cost['seconds']:.2f} s, {cost['megabytes']:.0f} MB more, {cost['links']:.0f} links")
    small, large = (figures["search"][f"{images} images"]["seconds"] for images in ("15,000", "240,000"))
    print(f"search: time grows with the number of images to the power of {math.log(large / small, 16):.2f}")


if __name__ == "__main__":
    main()
