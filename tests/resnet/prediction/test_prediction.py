"""Predictions for image files: the pixels are those of training, and bad files are reported in their place."""

import io
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.images.decoding import MAX_PIXELS
from resnet.images.outcomes import Candidate, Rejected
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from resnet.network.archive import read_model_facts
from resnet.network.model import ResNet
from resnet.network.saving import save_model
from resnet.prediction.image_files import ImageFile, find_images, open_archives
from resnet.prediction.prediction import Decoded, Prediction, decode_files, in_batches, predict, reading_ahead
from tasks.preprocess import preprocess
from tests.parameters import PREPROCESS
from tests.pictures import picture, write_tree


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(orientation, size=(200, 90)))).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def in_mode(mode: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(90, size=(70, 50)))).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def test_the_pixels_are_those_that_preprocess_writes(tmp_path: Path) -> None:
    encoded = [
        turned(6),
        turned(3),
        in_mode("CMYK", "JPEG"),
        in_mode("RGBA", "PNG"),
        in_mode("L", "GIF"),
        picture(5, size=(9, 31)),
    ]
    files = write_tree(tmp_path / "files", {f"{n}.img": one for n, one in enumerate(encoded)})
    candidates = [Candidate(f"{n}.img", "ab"[n % 2], lambda one=one: one, "test") for n, one in enumerate(encoded)]  # type: ignore[misc]
    others = [
        Candidate(f"{split}{n}", "ab"[n], partial(picture, 50 + 2 * k + n), split)
        for k, split in enumerate(("training", "validation"))
        for n in range(2)
    ]
    write_raw(tmp_path / "raw", Source(["a", "b"], lambda: iter(candidates + others)), max_pixels=10**6)
    preprocess(PREPROCESS.model_copy(update={"image_size": 40}), raw=tmp_path / "raw", prepared=tmp_path / "prepared")
    expected = Split(tmp_path / "prepared" / "test", 2).gather(np.arange(len(encoded)))
    found = [one.pixels for one in decode_files(open_archives(find_images([str(files)])), 40) if isinstance(one, Decoded)]
    np.testing.assert_array_equal(found, expected)


def test_bad_files_are_reported_and_the_others_are_predicted(tmp_path: Path) -> None:
    big = f"P6 {MAX_PIXELS} 2 255\n".encode()
    files = {"a.png": picture(1), "b.png": picture(2)[:90], "c.png": b"", "d.png": picture(3), "e.ppm": big}
    folder = write_tree(tmp_path, files)
    found = list(
        predict(
            lambda images: np.zeros((len(images), 2), np.float32),
            in_batches(decode_files(open_archives(find_images([str(folder)])), 32), 2),
        )
    )
    kinds = [one.reason if isinstance(one, Rejected) else Path(one.path).name for one in found]
    assert kinds == ["a.png", "truncated", "empty", "d.png", "unsupported_format"]
    assert all(one.probabilities.tolist() == [0.5, 0.5] for one in found if isinstance(one, Prediction))


def test_images_are_refused_by_their_header_when_they_are_too_large(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (60_000, 1_200)).save(buffer, "PNG")  # 72 million pixels in a few kB
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    (found,) = decode_files([ImageFile("bomb.png", (tmp_path / "bomb.png").read_bytes)], 32)
    assert isinstance(found, Rejected)
    assert found.reason == "too_large"


def test_probabilities_go_to_their_images_in_batches(tmp_path: Path) -> None:
    items: list[Decoded | Rejected] = [Decoded(str(n), np.full((1, 1, 3), n, np.uint8)) for n in range(5)]
    sizes = []

    def network(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        level = images[:, 0, 0, 0].astype(np.float32)
        return np.stack([np.log(level + 1), np.zeros_like(level)], axis=1)

    found = list(predict(network, in_batches(items, 2)))
    assert sizes == [2, 2, 1]
    # exp(log(n + 1)) / (exp(log(n + 1)) + 1)
    expected = [(n + 1) / (n + 2) for n in range(5)]
    assert [one.probabilities[0] for one in found if isinstance(one, Prediction)] == pytest.approx(expected)


def test_reading_ahead_keeps_the_order_and_a_distance() -> None:
    made: list[int] = []
    filled = threading.Event()

    def items() -> Iterator[int]:
        for n in range(10):
            made.append(n)
            if n == 2:
                filled.set()
            yield n

    with reading_ahead(items(), 3) as found:
        assert filled.wait(5)  # before the first item is asked for
        assert made == [0, 1, 2]
        assert list(found) == list(range(10))


def test_reading_ahead_raises_where_the_items_are_wanted_and_ends_early() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with reading_ahead(items(), 3) as found:
        assert next(found) == 1
        with pytest.raises(ZeroDivisionError):
            next(found)
    before = threading.active_count()
    with reading_ahead(iter(int, 1), 3) as endless:
        next(endless)
    assert threading.active_count() == before


def test_a_file_says_what_it_knows_or_that_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with pytest.raises(UserError, match=r"model.keras is missing"):
        read_model_facts(path)
    save_model(ResNet((40, 40, 3), 2, blocks=(1,), width=4, class_names=["a", "b"]), path)
    facts = read_model_facts(path)
    assert (facts.class_names, facts.image_shape, facts.config["width"]) == (["a", "b"], (40, 40, 3), 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is damaged or cut short"):
        read_model_facts(path)


def test_a_network_for_several_labels_gives_each_class_a_probability_of_its_own() -> None:
    logits = np.array([[0.0, np.log(3.0), -np.log(3.0)], [1000.0, -1000.0, -700.0]], np.float32)
    group: list[Decoded | Rejected] = [Decoded(str(n), np.zeros((8, 8, 3), np.uint8)) for n in range(2)]
    with np.errstate(all="raise", under="ignore"):
        found = [one for one in predict(lambda _: logits, [group], multi_label=True) if isinstance(one, Prediction)]
    np.testing.assert_allclose(found[0].probabilities, [0.5, 0.75, 0.25], rtol=1e-6)  # odds of 1, 3 and 1/3
    np.testing.assert_allclose(found[1].probabilities, [1.0, 0.0, np.exp(-700.0)], rtol=1e-6)
