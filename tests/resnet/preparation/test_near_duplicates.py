"""Near-duplicates: planted copies are found, other images are not, and large clusters are linked without listing all pairs."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_sample_images

from resnet.images.perceptual_fingerprint import FINGERPRINT_BYTES, perceptual_fingerprint
from resnet.preparation import near_duplicates as module
from resnet.preparation.near_duplicates import near_duplicates

Fingerprints = npt.NDArray[np.uint8]


def fingerprints(images: list[Image.Image]) -> Fingerprints:
    return np.frombuffer(b"".join(map(perceptual_fingerprint, images)), dtype=np.uint8).reshape(-1, FINGERPRINT_BYTES)


def crops() -> list[Image.Image]:
    """24 crops of 128 x 128 that do not overlap, without the sky, which JPEG makes flat."""
    temple, flower = load_sample_images().images
    corners = [
        (photo, top, left)
        for photo, first in ((temple, 128), (flower, 0))
        for top in range(first, 300, 128)
        for left in range(0, 640, 128)
    ]
    return [Image.fromarray(photo[top : top + 128, left : left + 128]) for photo, top, left in corners][:24]


def digits() -> list[Image.Image]:
    return [Image.fromarray((pixels * 255 / 16).astype(np.uint8)) for pixels in load_digits().images]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def resized(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def brighter(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def synthetic(images: int, seed: int = 0) -> Fingerprints:
    """Fingerprints of unrelated images, with amplitudes that fall with frequency as in photographs."""
    random = np.random.default_rng(seed)
    vertical, horizontal = np.divmod(np.arange(1, 36), 6)
    amplitudes = random.standard_normal((images, 35)) / np.hypot(vertical, horizontal)
    amplitudes *= 100 / np.abs(amplitudes).max(axis=1, keepdims=True)
    hashes = random.integers(0, 256, (images, 8), dtype=np.uint8)
    return np.hstack([hashes, np.rint(amplitudes).astype(np.int8).view(np.uint8)])


def noisy_copies(originals: Fingerprints, copies: int, noise: float) -> Fingerprints:
    repeated = np.tile(originals, (copies, 1))
    amplitudes = repeated[:, 8:].view(np.int8) + np.random.default_rng(1).standard_normal((len(repeated), 35)) * noise
    repeated[:, 8:] = np.clip(np.rint(amplitudes), -127, 127).astype(np.int8).view(np.uint8)
    return repeated


def brute_force(prints: Fingerprints) -> npt.NDArray[np.int64]:
    """All pairs by SciPy's distances: at most 16 of 64 bits, and at most 0.13 between amplitudes of unit length."""
    bits = cdist(np.unpackbits(prints[:, :8], axis=1), np.unpackbits(prints[:, :8], axis=1), "cityblock")
    amplitudes = prints[:, 8:].view(np.int8).astype(float)
    amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
    return np.argwhere(np.triu((bits <= 16) & (cdist(amplitudes, amplitudes) <= 0.13), k=1))


def components(links: npt.NDArray[np.int64], images: int) -> list[int]:
    """For each image the first image of its component."""
    labels = connected_components(coo_array((np.ones(len(links)), links.T), shape=(images, images)), directed=False)[1]
    return list(np.unique(labels, return_index=True)[1][labels])


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: resized(image, 0.5),
    "twice the size": lambda image: resized(image, 2),
    "quality 50": lambda image: jpeg(image, 50),
    "quality 95": lambda image: jpeg(image, 95),
    "darker": lambda image: brighter(image, 0.9),
    "brighter": lambda image: brighter(image, 1.1),
    "half the size at quality 50": lambda image: jpeg(resized(image, 0.5), 50),
    "brighter at quality 50": lambda image: jpeg(brighter(image, 1.1), 50),
    "half the size and darker": lambda image: brighter(resized(image, 0.5), 0.9),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_copies_of_photographs_are_found_and_nothing_else(change: Callable[[Image.Image], Image.Image]) -> None:
    originals = crops()
    links = near_duplicates(fingerprints([*originals, *map(change, originals)]))
    found, planted = set(map(tuple, links.tolist())), {(i, i + 24) for i in range(24)}
    assert len(found & planted) >= 23  # 95 % of 24 is 22.8
    assert found <= planted


def test_copies_of_digits_are_found_and_digits_of_one_class_told_apart() -> None:
    originals = digits()
    alone = near_duplicates(fingerprints(originals))
    assert len(np.unique(alone)) <= 0.01 * 1797
    copies = fingerprints([jpeg(brighter(image, 1.1), 50) for image in originals[:200]])
    links = near_duplicates(np.concatenate([fingerprints(originals), copies]))
    assert len({(i, 1797 + i) for i in range(200)} & set(map(tuple, links.tolist()))) >= 190


def test_a_fingerprint_is_phash_and_the_amplitudes_of_the_cosine_transform() -> None:
    for image in (crops()[0], digits()[0], crops()[1].resize((300, 40))):
        grey = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3)
        assert perceptual_fingerprint(image)[:8].hex() == str(imagehash.phash(grey))
        expected = dctn(np.asarray(grey, dtype=float), norm="ortho")[:6, :6].ravel()[1:]
        amplitudes = np.frombuffer(perceptual_fingerprint(image)[8:], dtype=np.int8)
        assert np.abs(amplitudes - expected * (127 / np.abs(expected).max())).max() <= 0.5 + 1e-9  # rounding


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (32, 32)])
def test_flat_images_look_like_no_other(size: tuple[int, int]) -> None:
    flat = [Image.new("RGB", size, colour) for colour in ((0, 0, 0), (0, 0, 0), (200, 30, 90))]
    noisy = Image.fromarray(np.random.default_rng(0).integers(99, 102, (32, 32, 3), dtype=np.uint8))
    assert fingerprints([*flat, noisy]).max() == 0
    assert near_duplicates(fingerprints([*flat, noisy])).shape == (0, 2)


def test_threads_give_the_same_fingerprints() -> None:
    images = crops() * 5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(perceptual_fingerprint, images)) == [perceptual_fingerprint(image) for image in images]


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_images_are_handled(images: int) -> None:
    alike = np.ones((images, FINGERPRINT_BYTES), dtype=np.uint8)
    assert near_duplicates(alike).tolist() == ([[0, 1]] if images == 2 else [])
    assert near_duplicates(alike).shape == (max(0, images - 1), 2)


def test_without_clusters_all_pairs_are_listed() -> None:
    prints = fingerprints(digits())
    mixed = np.concatenate([prints, noisy_copies(synthetic(40), 4, 3)])
    expected = brute_force(mixed)
    assert len(expected) > 100
    assert near_duplicates(mixed).tolist() == expected.tolist()


@pytest.mark.parametrize("noise", [1.0, 4.0, 5.0, 6.0, 8.0])
def test_in_clusters_near_duplicates_are_in_one_component(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", 8)
    monkeypatch.setattr(module, "BLOCK", 1024)
    prints = noisy_copies(synthetic(5), 120, noise)
    links, pairs = near_duplicates(prints), brute_force(prints)
    assert set(map(tuple, links.tolist())) <= set(map(tuple, pairs.tolist()))
    assert len(links) <= (8 + 1) * 600
    assert components(links, 600) == components(pairs, 600)


def on_a_circle(degrees: npt.ArrayLike, last: npt.ArrayLike = 0) -> Fingerprints:
    """Fingerprints in a plane, where the threshold of 0.13 is an angle of 7.45 degrees; `last` makes equal ones differ."""
    angles = np.radians(np.asarray(degrees, dtype=float))
    prints = np.zeros((len(angles), FINGERPRINT_BYTES), dtype=np.int8)
    prints[:, 8], prints[:, 9], prints[:, 42] = np.rint(120 * np.cos(angles)), np.rint(120 * np.sin(angles)), last
    return prints.view(np.uint8)


def test_two_clusters_are_joined_by_the_one_image_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", 4)
    last = np.tile(np.arange(-2, 3), 40)
    clusters = np.concatenate([on_a_circle(np.linspace(0, 1, 200), last), on_a_circle(np.linspace(13, 14, 200), last)])
    assert len(set(components(near_duplicates(clusters), 400))) == 2
    assert len(set(components(near_duplicates(np.concatenate([clusters, on_a_circle([7])])), 401))) == 1


def test_groups_are_joined_by_members_that_are_far_from_both_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)  # blocks of 2 x 2; the members that are near each other come last
    prints = module._Fingerprints.unpack(on_a_circle([0, 1, 6, 20, 18, 12]))
    assert module._bridges(np.array([0, 0, 0, 3, 3, 3]), prints).tolist() == [[2, 5]]


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_twenty_thousand_images_of_ten_looks_have_a_link_each(noise: float) -> None:
    links = near_duplicates(noisy_copies(synthetic(10), 2000, noise))
    assert len(links) == 20_000 - 10
    assert components(links, 20_000) == list(range(10)) * 2000


@pytest.mark.parametrize("noise", [2.0, 5.0])
def test_the_order_of_the_images_does_not_matter(noise: float) -> None:
    prints = np.concatenate(
        [fingerprints(digits()), noisy_copies(synthetic(3), 200, noise), noisy_copies(synthetic(50, 9), 3, 3)]
    )
    prints = np.unique(prints, axis=0)  # of equal ones only the first is linked, which depends on the order
    order = np.random.default_rng(2).permutation(len(prints))
    links = near_duplicates(prints)
    assert np.unique(np.sort(order[near_duplicates(prints[order])], axis=1), axis=0).tolist() == links.tolist()
    assert (links[:, 0] < links[:, 1]).all()
    assert np.unique(links, axis=0).tolist() == links.tolist() == near_duplicates(prints).tolist()


def test_few_candidates_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    alike = module._Fingerprints.alike

    def count(self: module._Fingerprints, ones: Any, others: Any) -> npt.NDArray[np.bool_]:
        compared.append(len(ones))
        return alike(self, ones, others)

    monkeypatch.setattr(module._Fingerprints, "alike", count)
    near_duplicates(synthetic(40_000))
    assert sum(compared) < 40_000  # of 800 million pairs
