"""A training step of a few layers on one device, to see whether convolution, normalisation and their gradients work there."""

import tensorflow as tf

# Difference to the processor, as a share of the loss. The mantissa has 8 bits in bfloat16 and 11 in float16; TF32 has 11 too.
_TOLERANCE = {"float32": 0.01, "float16": 0.02, "bfloat16": 0.05}


def failures(device: str) -> list[str]:
    """What goes wrong in a step on a device, one sentence for each precision in which something does.

    Args:
        device: such as "GPU:0". Nothing is moved to another device, even if an operation has no kernel for this one.
    """
    soft = tf.config.get_soft_device_placement()
    expected = _loss("CPU:0", "float32")[0]
    tf.config.set_soft_device_placement(False)
    try:
        found = [_failure(device, precision, expected) for precision in _TOLERANCE]
    finally:
        tf.config.set_soft_device_placement(soft)
    return [one for one in found if one]


def _failure(device: str, precision: str, expected: float) -> str | None:
    try:
        loss, finite = _loss(device, precision)
    except (tf.errors.OpError, RuntimeError) as error:
        return f"{precision}: {(str(error).splitlines() or [type(error).__name__])[0]}"
    if not finite:
        return f"{precision}: the gradient is not finite"
    if abs(loss - expected) > _TOLERANCE[precision] * expected:
        return f"{precision}: the loss is {loss:.4f}, on the processor {expected:.4f}"
    return None


def _loss(device: str, precision: str) -> tuple[float, bool]:
    """The loss of a fixed batch, and whether the kernel's gradient is finite."""
    with tf.device(device):
        images = tf.cast(tf.random.stateless_uniform((8, 16, 16, 8), (0, 1)), precision)
        kernel = tf.cast(tf.random.stateless_normal((3, 3, 8, 16), (0, 2)), precision)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            convolved = tf.nn.conv2d(images, kernel, 2, "SAME")
            normalised, *_ = tf.raw_ops.FusedBatchNormV3(
                x=convolved, scale=tf.fill((16,), 1.0), offset=tf.fill((16,), 0.5), mean=[], variance=[], is_training=True
            )
            loss = tf.reduce_mean(tf.square(tf.cast(tf.nn.relu(normalised), tf.float32)))
        gradient = tape.gradient(loss, kernel)
        finite = tf.reduce_all(tf.math.is_finite(tf.cast(gradient, tf.float32)))
    return float(loss), bool(finite)
