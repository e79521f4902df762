"""Several hosts that train one network together: how they meet, and what they exchange.

Each host has all variables and makes every update itself, with the same numbers. What they exchange is what each has computed
of its part of a batch. TensorFlow's collective operations carry it (`CollectiveGatherV2`), and
`tf.distribute.MultiWorkerMirroredStrategy` starts their servers and looks after the other hosts. The variables are not those of
the strategy: its updates know nothing of the operations of `resnet/native`, and it keeps the moving statistics of one host. A
gather lets each host add the parts in their order and take the statistics of all, as one host does with `accumulate`.
"""

import contextlib
import itertools
import logging
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.distribute import collective_all_reduce_strategy
from tensorflow.python.eager import context

from resnet.training.shares import share

_SIGNS = ("Collective", "from remote target /job:worker")  # of an error that comes from an exchange
_ABORTED = re.compile(r"Collective ops is aborted by: ([^\n]*)")
_TASK = re.compile(r"/job:worker/replica:0/task:(\d+)")
_GROUP = 1 << 20  # the strategy counts its own groups from 1
_CHUNK = 1 << 24  # numbers of four bytes that are broadcast at once
_LOOK_SECONDS = 0.5  # while the hosts meet
_HEALTH_SECONDS = 5  # between two looks at the other hosts
# A host may keep the others waiting while it writes a checkpoint, or compiles. One that is gone is known much earlier.
_PATIENCE_SECONDS = 900.0


class Hosts:
    """The hosts of a run, seen from one of them.

    Args:
        addresses: `host:port` of each; the first is the chief.
        index: which of them this one is.
    """

    def __init__(self, addresses: Sequence[str] = ("localhost",), index: int = 0) -> None:
        self.addresses = tuple(addresses)
        self.index = index
        self._keys = itertools.count(2)
        self._strategy: tf.distribute.Strategy | None = None

    @property
    def count(self) -> int:
        """Their number; 1 for a run that is not shared."""
        return len(self.addresses)

    def meet(self, seconds: float, hopeless: Callable[[], bool] = lambda: False) -> None:
        """Waits for the other hosts. TensorFlow must have been started, and must not have computed anything.

        TensorFlow's coordination service is not used: while it waits for hosts, Python cannot react to a signal.

        Args:
            seconds: how long to wait.
            hopeless: is asked every now and then whether one of them will not come.

        Raises:
            RuntimeError: they did not come.
            tf.errors.OpError: one of them will not come, or this host cannot listen at its address.
        """
        if self.count == 1:
            return
        # The strategy logs each attempt to reach a host; the error that ends an exchange has the last one.
        tf.get_logger().setLevel(logging.CRITICAL)
        context.context().configure_coordination_service("")
        health = collective_all_reduce_strategy.CollectiveAllReduceExtended
        health._check_health_initial_timeout = math.ceil(seconds)
        health._check_health_interval = _HEALTH_SECONDS
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": self.addresses}), task_type="worker", task_id=self.index, rpc_layer="grpc"
        )
        # In a thread, so that a signal can end the process meanwhile.
        with ThreadPoolExecutor(max_workers=1) as thread:
            meeting = thread.submit(tf.distribute.MultiWorkerMirroredStrategy, resolver)
            while not wait([meeting], _LOOK_SECONDS).done:
                if hopeless():  # they meet by a collective operation, which this ends
                    context.context().abort_collective_ops(tf.errors.UNAVAILABLE, "one of the hosts will not come")
            self._strategy = meeting.result()

    def lost(self, error: tf.errors.OpError) -> str | None:
        """The host that can no longer be reached, and the reason, by an error of an exchange; None for any other error."""
        if (
            self.count == 1
            or isinstance(error, tf.errors.ResourceExhaustedError)
            or not any(sign in error.message for sign in _SIGNS)
        ):
            return None
        found = _ABORTED.search(error.message)
        reason = found[1] if found else error.message.strip().partition("\n")[0]
        tasks = [int(task) for task in _TASK.findall(error.message) if int(task) != self.index]
        who = f"host {tasks[0]} ({self.addresses[tasks[0]]})" if tasks else "another host"
        return f"{who} has ended or cannot be reached any more ({reason.strip(' .')})"

    def gather(self, tensors: Sequence[tf.Tensor]) -> list[list[tf.Tensor]]:
        """The tensors of each host, in the order of the hosts; for a compiled function that all hosts call at the same time.

        Args:
            tensors: float32, of the same shapes on all hosts.
        """
        if self.count == 1:
            return [list(tensors)]
        flat = tf.concat([tf.reshape(one, (1, -1)) for one in tensors], axis=1)
        sizes = [one.shape.num_elements() for one in tensors]
        rows = tf.split(self._gathered(flat, next(self._keys)), self.count)
        return [
            [tf.reshape(part, one.shape) for part, one in zip(tf.split(row, sizes, axis=1), tensors, strict=True)]
            for row in rows
        ]

    def numbers(self, number: int) -> list[int]:
        """The number, below 2^31, of each host."""
        if self.count == 1:
            return [number]
        gathered: list[int] = self._gathered(tf.constant([[number]]), 1).numpy()[:, 0].tolist()
        return gathered

    def texts(self, text: bytes) -> list[bytes]:
        """A few kilobytes of each host."""
        lengths = self.numbers(len(text))
        if self.count == 1:
            return [text]
        words = _words(text.ljust(max(lengths)))
        gathered = self._gathered(tf.constant(words[np.newaxis]), next(self._keys)).numpy()
        return [row.tobytes()[:length] for row, length in zip(gathered, lengths, strict=True)]

    def from_chief(self, content: bytes) -> bytes:
        """The content that the chief has; that of the other hosts is not looked at."""
        length = self.numbers(-(-len(content) // 4))[0]
        if self.count == 1:
            return content
        words = _words(content) if self.index == 0 else np.empty(length, np.int32)
        for start in range(0, length, _CHUNK):
            words[start : start + _CHUNK] = self._broadcast(words[start : start + _CHUNK])
        return words.tobytes()

    def part(self) -> None:
        """Waits until each host has got what the last exchange gave this one; then this one may end.

        The connections of a host are closed when it ends, and what another one has not received yet is lost. All hosts call
        this at the same time. A host that has ended meanwhile needed nothing more.
        """
        with contextlib.suppress(tf.errors.OpError):
            self.numbers(0)

    def _gathered(self, rows: tf.Tensor, key: int) -> tf.Tensor:
        """(1, n) of each host as (hosts, n). On the processor, whose collectives need no further library."""
        with tf.device("/CPU:0"):
            gathered = tf.raw_ops.CollectiveGatherV2(
                input=rows, group_size=self.count, group_key=_GROUP, instance_key=key, ordering_token=[], **_OPTIONS
            )
        return tf.reshape(gathered, (self.count, rows.shape[1]))

    def _broadcast(self, words: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        group = {"group_size": self.count, "group_key": _GROUP, "instance_key": next(self._keys), **_OPTIONS}
        with tf.device("/CPU:0"):
            if self.index == 0:
                sent = tf.raw_ops.CollectiveBcastSendV2(input=tf.constant(words), **group)
            else:
                sent = tf.raw_ops.CollectiveBcastRecvV2(shape=words.shape, T=tf.int32, **group)
        received: npt.NDArray[np.int32] = sent.numpy()
        return received


_OPTIONS: dict[str, Any] = {"communication_hint": "ring", "timeout_seconds": _PATIENCE_SECONDS}


def _words(content: bytes) -> npt.NDArray[np.int32]:
    """The bytes as numbers of four bytes, with spaces at the end. Collectives do not carry single bytes."""
    return np.frombuffer(content + b" " * (-len(content) % 4), np.int32).copy()


def places(steps: int, batch_size: int, hosts: Hosts, *, neighbour: bool) -> npt.NDArray[np.int64]:
    """Where the images of this host are in an epoch: one part of each batch, in the order of the hosts.

    Args:
        steps: of the epoch.
        batch_size: of all hosts together; a multiple of their number.
        hosts: of the run.
        neighbour: as in `share`.

    Returns:
        (steps * n,) positions in the order of the epoch; n images for each step.
    """
    within = share(batch_size, hosts.index, hosts.count, neighbour=neighbour)
    return (np.arange(steps)[:, np.newaxis] * batch_size + within).reshape(-1)
