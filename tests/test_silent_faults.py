"""Faults that raise no error: each would make the figures too good, or meaningless."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.dataset.batches import epoch_order
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from resnet.preparation.splits import Shares, assign_splits
from resnet.training.augmentation import DRAWS, Augmentation
from resnet.training.loop import Trainer
from resnet.training.optimizers import make_optimizer
from tasks.stage.graph import read_graph
from tests.imports import ROOT


def test_equal_images_are_in_the_same_split() -> None:
    images = [number % 70 for number in range(100)]  # 30 images occur twice
    hashes = np.array([[number] * 32 for number in images], dtype=np.uint8)
    splits = assign_splits(np.zeros(100, np.uint16), hashes, ["a"], Shares(validation=0.2, test=0.2), seed=0)
    found = {split: {image for image, at in zip(images, splits, strict=True) if at == split} for split in set(splits.tolist())}
    assert len(found) == 3
    assert sum(len(members) for members in found.values()) == 70


def test_only_evaluate_reads_the_test_split() -> None:
    readers = {stage: entry["deps"] for stage, entry in read_graph(ROOT / "dvc.yaml").items()}
    assert [stage for stage, deps in readers.items() if "data/prepared/test" in deps] == ["evaluate"]
    # The whole folder would include the test split.
    assert [stage for stage, deps in readers.items() if "data/prepared" in deps] == []
    # The raw images include those of the test split too. `render` reads only the tables beside them.
    assert [stage for stage, deps in readers.items() if "data/raw" in deps] == ["preprocess", "render"]


@pytest.mark.parametrize("size", [32, 64, 96])
def test_global_average_pooling_covers_the_whole_image(size: int) -> None:
    model = ResNet((size, size, 3), 2, blocks=(1, 1), width=4, zero_init_last_gamma=False)
    features = keras.Model(model.input, [model.get_layer("conv3_block1_out").output, model.get_layer("avg_pool").output])
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    before, pooled = (np.asarray(value) for value in features(images))
    assert before.shape[1:3] == (size // 8, size // 8)
    np.testing.assert_allclose(pooled, before.mean(axis=(1, 2)), atol=1e-5)


def test_weight_decay_changes_the_update() -> None:
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    kernels = []
    for decay in (0.0, 0.1):
        keras.utils.set_random_seed(0)
        model = ResNet((32, 32, 3), 2, blocks=(1,), width=4)
        optimizer = make_optimizer("adam", 0.01, 0.9, decay, model.trainable_variables)
        trainer = Trainer(model, optimizer, augmentation=Augmentation())
        trainer.train_step(images, tf.zeros(8, tf.uint16), tf.zeros((8, DRAWS)))
        kernels.append(model.get_layer("conv1_conv").kernel.numpy())
    assert not np.array_equal(kernels[0], kernels[1])


def test_every_epoch_has_another_order_of_the_images() -> None:
    orders = [epoch_order(500, 0, epoch).tolist() for epoch in range(1, 4)]
    assert all(order != sorted(order) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_training_reads_the_images_in_the_order_of_each_epoch(
    separable: Callable[[str, int], Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = separable("t", 24)
    asked: list[int] = []
    gather = Split.gather

    def listening(self: Split, rows: np.ndarray) -> np.ndarray:
        if self is split:
            asked.extend(rows)
        return gather(self, rows)

    monkeypatch.setattr(Split, "gather", listening)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4)
    optimizer = make_optimizer("sgd", 0.01, 0.0, 0.0, model.trainable_variables)
    Trainer(model, optimizer, augmentation=Augmentation()).fit(split, separable("v", 8), epochs=2, batch_size=8, seed=0)
    assert asked == [*epoch_order(24, 0, 1), *epoch_order(24, 0, 2)]


def test_a_saved_model_is_loaded_with_its_weights(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, class_names=["a", "b"])
    for variable in model.weights:
        variable.assign(variable + 0.01)
    save_model(model, tmp_path / "model.keras")
    keras.utils.set_random_seed(1)
    loaded = load_model(tmp_path / "model.keras", ["a", "b"], (32, 32, 3))
    assert len(loaded.get_weights()) > 20
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
