"""TensorFlow has a kernel on GPUs for every operation of training; without one it would use the processor in silence.

The package for processors has the same kernels as on GPUs, so this needs none.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from resnet.core.label_sets import LabelSets
from resnet.network.device_kernels import GPU, PROCESSOR, using
from resnet.training.augmentation import Augmentation
from resnet.training.kept import Images
from resnet.training.multi_label import MultiLabel
from resnet.training.shares import Batches
from resnet.training.sizes import SizeSchedule
from tests.resnet.training.test_calls import BATCH, trainer

STEPS = 3
ON_GPU = ("GPU", "DEFAULT")
SHIFTED = {"augmentation": Augmentation(flip=True, shift=0.1)}
RICH: dict[str, Any] = {
    "augmentation": Augmentation(flip="alternate", crop=0.5, trivial_augment=True, mixup=0.2, cutmix=1.0),
    "accumulate": 2,
    "ema": 0.9,
    "sizes": SizeSchedule([24, 32], [2]),
    "class_weights": np.array([0.5, 1.5], np.float32),
}
SEVERAL: dict[str, Any] = {
    "augmentation": Augmentation(mixup=0.2),
    "label_smoothing": 0.1,
    "multi_label": MultiLabel(LabelSets.of_numbers([[], [0], [0, 1]], 2)),
}


def on_processor(function: Any) -> set[tuple[str, str]]:
    """The operations of a concrete function that have no kernel on GPUs, and their types."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    return {(node.op, " ".join(_types(node))) for node in nodes if not _has_kernel(node)}


def _has_kernel(node: Any) -> bool:
    registered = kernels.get_registered_kernels_for_op(node.op).kernel
    return not registered or any(one.device_type in ON_GPU and _takes(one, node) for one in registered)


def _takes(kernel: Any, node: Any) -> bool:
    """Whether a kernel is for the types of an operation."""
    return all(
        set(value.list.type or [value.type]) <= set(limit.allowed_values.list.type)
        for limit in kernel.constraint
        for value in [node.attr[limit.name]]
    )


def _types(node: Any) -> Iterator[str]:
    for name, value in sorted(node.attr.items()):
        if value.WhichOneof("value") == "type":
            yield f"{name}={tf.dtypes.as_dtype(value.type).name}"


@pytest.mark.parametrize("options", [SHIFTED, RICH, SEVERAL])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_steps_and_validation_run_on_the_gpu_as_a_whole(precision: str, options: dict[str, Any]) -> None:
    with using(replace(GPU, batches_on=None)):
        one = trainer("adam", precision, **options)
        draws = tf.reshape(one.augmentation.draw(STEPS * BATCH, 0, 1), (STEPS, BATCH, -1))
        images, labels = tf.zeros((STEPS, BATCH, 32, 32, 3), tf.uint8), tf.zeros((STEPS, BATCH), tf.uint16)
        for steps in (one.train_steps, one.frozen_steps):
            batches = Batches(images, labels, draws, 24, tf.ones((STEPS, BATCH)) if options is RICH else None)
            assert on_processor(steps.get_concrete_function(batches)) == set()
        assert on_processor(one.validation_step.get_concrete_function()) == set()


@pytest.mark.parametrize("size", [15, 16])  # 675 bytes an image fill no whole number of words
def test_kept_images_are_gathered_on_the_gpu(size: int) -> None:
    kept = Images(tf.zeros((9, -(-size * size * 3 // 8)), tf.int64), (size, size, 3))
    assert on_processor(tf.function(kept.gather).get_concrete_function(np.zeros((2, 4), np.int64))) == set()


def test_what_has_no_kernel_is_found() -> None:
    with using(replace(PROCESSOR, fused=False)):
        augment = tf.function(Augmentation(shift=0.1), autograph=False)
        found = on_processor(augment.get_concrete_function(tf.zeros((2, 8, 8, 3), tf.uint8), tf.ones((2, 15))))
    assert found == {("GatherV2", "Taxis=int32 Tindices=int32 Tparams=uint8")}


@pytest.mark.parametrize("shift", [0.1, 0.5])
def test_a_shift_has_the_same_bits_on_gpus(shift: float) -> None:
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8))
    augmentation = Augmentation(shift=shift, flip=True)
    draws = augmentation.draw(64, 3, 1)
    expected = augmentation(images, draws)
    assert expected.dtype == tf.uint8
    with using(replace(GPU, batches_on=None)):
        np.testing.assert_array_equal(augmentation(images, draws), expected)
