"""The operations of the library give the same bits on any number of TensorFlow's threads."""

import subprocess
import sys

import pytest

from resnet.native.library import load
from tests.imports import ROOT

# Denormal numbers are among the gradients: a thread that computes with them gives other bits than one that takes them for 0.
# TensorFlow makes its threads at its first operation: one process imports it, and each number of threads has a fork.
PROGRAM = """
import hashlib, os, sys
import numpy as np
from resnet.network.startup import start_tensorflow
start_tensorflow()
import tensorflow as tf
for threads in sys.argv[1:]:
    fork = os.fork()
    if not fork:
        break
    if os.waitpid(fork, 0)[1]:
        sys.exit(f"failed on {threads} threads")
else:
    sys.exit()
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
from resnet.native.library import load
ops, found = load(), hashlib.sha256()
generator = np.random.default_rng(0)

def add(*tensors):
    for one in tensors:
        found.update(tf.cast(one, tf.float32).numpy().tobytes())

scale, offset = (tf.constant(generator.normal(1, 1, 24), tf.float32) for _ in range(2))
for dtype in (tf.float32, tf.bfloat16):
    x, shortcut, above, beside = (generator.normal(0, 1, (4, 40, 40, 24)) for _ in range(4))
    x, shortcut, above, beside = (tf.cast(one, dtype) for one in (x, shortcut, above * 1e-38, beside * 1e-38))
    y, mean, variance, inverse = ops.resnet_norm(x, scale, offset, epsilon=1e-5, relu=True)
    add(y, mean, variance, *ops.resnet_norm_grad(x, above, scale, offset, mean, inverse, relu=True))
    (y, _), mean, variance, inverse = ops.resnet_norm_add(x, shortcut, scale, offset, epsilon=1e-5, branches=2)
    add(y, mean, variance, *ops.resnet_norm_add_grad(x, y, scale, mean, inverse, [above, beside]))

if hasattr(ops, "resnet_weight_gradient"):
    images, above = (tf.cast(generator.normal(0, 1, (3, 9, 9, channels)), tf.bfloat16) for channels in (48, 288))
    add(ops.resnet_weight_gradient(images, above, T=tf.float32, kernel_size=[3, 3], stride=1, padding=[1, 1]))

def variables(dtype=tf.float32, factor=1.0):
    return [tf.Variable(tf.cast(factor * generator.uniform(0, 1, size), dtype)) for size in (100_000, 70_001)]

weights, first, second, gradients = variables(), variables(factor=1e-38), variables(factor=1e-38), variables(tf.bfloat16)
copies = [tf.Variable(tf.cast(one, tf.bfloat16)) for one in weights]
handles = [[one.handle for one in group] for group in (weights, first + second, copies)]
rules = dict(beta1=0.9, beta2=0.999, beta1_power=0.729, beta2_power=0.997, epsilon=1e-7)
ops.resnet_adam(*handles, gradients, rate=0.01, decayed=[True] * 2, copy=[0, 1], l2=0.1, decay=0.0, **rules)
add(*weights, *first, *second, *copies)
assert tf.config.threading.get_intra_op_parallelism_threads() == int(threads)
print(threads, found.hexdigest(), flush=True)
"""


@pytest.mark.skipif(load() is None, reason="the library has not been compiled; `make setup` does that")
def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1", "2", "3", "7"], cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    found = dict(line.split() for line in done.stdout.splitlines())

    assert list(found) == ["1", "2", "3", "7"]
    assert len(set(found.values())) == 1, found
