"""What `TF_CONFIG` says, and what hosts need to have in common. Two real hosts are in `tests/test_hosts.py`."""

import json
import os
import re
import signal
from dataclasses import replace
from typing import Any

import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.training.checkpoint_files import encoded
from resnet.training.hosts import Hosts
from resnet.training.state import Epoch, TrainingState
from tasks.training.cluster import Cluster, agreed, require_equal, require_same_result, shared_state, together
from tasks.training.pause import PausedError

WORKERS = ["10.0.0.1:2222", "ml-2.example.org:2222", "[fe80::1]:65535"]
EPOCH = Epoch(2, 1.0, 0.5, 0.25, 0.5, 0.1, 10.0, 100.0)


class Others:
    """Replaces the exchange between hosts: each of them sends what this list says, and this one what it is asked to send."""

    addresses = ("one:1", "two:1")
    count = 2

    def __init__(self, index: int, other: Any) -> None:
        self.index = index
        self.other = other
        self.parted = 0

    def part(self) -> None:
        """Counts: what all hosts end for, each of them must have received before the first one ends."""
        self.parted += 1

    def numbers(self, number: int) -> list[int]:
        return [number, self.other] if self.index == 0 else [self.other, number]

    def texts(self, text: bytes) -> list[bytes]:
        return [text, self.other] if self.index == 0 else [self.other, text]


def configure(monkeypatch: pytest.MonkeyPatch, cluster: object, task: object) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


def test_hosts_are_those_of_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, {"worker": WORKERS}, {"type": "worker", "index": 1})
    assert Cluster.from_environment() == Cluster(tuple(WORKERS), 1)


@pytest.mark.parametrize(
    "value", [None, "", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})]
)
def test_one_host_or_none_is_a_run_on_this_host(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    cluster = Cluster.from_environment()
    assert (len(cluster.addresses), cluster.index) == (1, 0)
    cluster.check(accumulate=1, devices=2, budget_minutes=5.0)


@pytest.mark.parametrize("text", ["{", "worker", "{'cluster': {}}"])
def test_what_is_not_json_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG must have JSON, but has {re.escape(text)}: set it as "):
        Cluster.from_environment()


@pytest.mark.parametrize(
    ("cluster", "task", "sentence"),
    [
        (None, None, 'must have a cluster with nothing but a list "worker" of host:port, but has null'),
        ({}, {"type": "worker", "index": 0}, "but has {}"),
        ({"worker": []}, {"type": "worker", "index": 0}, 'but has {"worker": []}'),
        ({"worker": ["a:1", "b"]}, {"type": "worker", "index": 0}, 'but has {"worker": ["a:1", "b"]}'),
        ({"worker": ["a:1", "b:70000"]}, {"type": "worker", "index": 0}, "of host:port"),
        ({"worker": ["a:1", 2]}, {"type": "worker", "index": 0}, "of host:port"),
        ({"chief": ["a:1"], "worker": ["b:1"]}, {"type": "worker", "index": 0}, "nothing but a list"),
        ({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}, "must have another address for each host"),
        ({"worker": ["a:1", "b:1"]}, None, 'a task of the type "worker" with an index from 0 to 1, but has null'),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 2}, 'but has {"type": "worker", "index": 2}'),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": -1}, "from 0 to 1"),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": True}, "from 0 to 1"),
        ({"worker": ["a:1", "b:1"]}, {"type": "ps", "index": 0}, "from 0 to 1"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(
    cluster: object, task: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, cluster, task)
    with pytest.raises(UserError, match=f"^TF_CONFIG .*{re.escape(sentence)}.*, or unset it to train on one host.$"):
        Cluster.from_environment()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"accumulate": 3},
            "TF_CONFIG names 2 hosts, which compute one part of a batch each, but train.accumulate is 3: set it to 2",
        ),
        (
            {"accumulate": "auto"},
            "TF_CONFIG names 2 hosts, which compute one part of a batch each, but train.accumulate is auto: set",
        ),
        ({"devices": 2}, "TF_CONFIG names 2 hosts, and train.devices is 2, but a run on several hosts uses one device of each"),
        ({"budget_minutes": 1.5}, "TF_CONFIG names 2 hosts, and train.budget_minutes is 1.5, but the clocks of several hosts"),
    ],
)
def test_parameters_that_do_not_suit_several_hosts_are_refused(changes: dict[str, Any], sentence: str) -> None:
    cluster = Cluster(("a:1", "b:1"), 1)
    good: dict[str, Any] = {"accumulate": 2, "devices": 1, "budget_minutes": 0.0}
    cluster.check(**good)
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        cluster.check(**(good | changes))


def test_dvc_runs_on_the_chief_only(monkeypatch: pytest.MonkeyPatch) -> None:
    good: dict[str, Any] = {"accumulate": 2, "devices": 1, "budget_minutes": 0.0}
    monkeypatch.setenv("DVC_ROOT", "/project")
    Cluster(("a:1", "b:1"), 0).check(**good)
    with pytest.raises(UserError, match=r"^this is host 1 of TF_CONFIG, which writes no results, but DVC expects some: run"):
        Cluster(("a:1", "b:1"), 1).check(**good)


@pytest.mark.parametrize("index", [0, 1])
def test_hosts_with_other_facts_refuse_each_other(index: int) -> None:
    facts = {"train.epochs": 3, "code.a.py": "1"}
    others: Any = Others(index, json.dumps(facts).encode())
    require_equal(others, facts)
    assert others.parted == 0
    sentence = "host 1 (two:1) differs from host 0 (one:1) in code.a.py, train.epochs: all hosts need the same parameters"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        require_equal(others, {"train.epochs": 4, "code.a.py": "2"})
    with pytest.raises(UserError, match=r"in code.a.py, data.0, data.1, data.2 and 8 more: "):
        require_equal(others, {f"data.{number}": "1" for number in range(10)})
    assert others.parted == 2


def test_hosts_with_other_losses_refuse_each_other() -> None:
    others: Any = Others(1, b"1.0 0.25")
    require_same_result(others, EPOCH)
    with pytest.raises(UserError, match=r"^the hosts have different losses after epoch 2 \(1.0 0.25; 1.0 0.2500001\), so"):
        require_same_result(others, replace(EPOCH, val_loss=0.2500001))
    assert others.parted == 1


def test_a_host_says_what_the_chief_says_of_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    chief = TrainingState()
    chief.epoch = 41
    sent = [b"had ended after epoch 40 of 40; only its results are written", b"".join(encoded(chief.snapshot()))]
    hosts: Any = Others(1, None)
    hosts.from_chief = lambda content: sent.pop(0)
    state = TrainingState()
    assert shared_state(hosts, state, None) == "had ended after epoch 40 of 40; only its results are written"
    assert state.epoch == 41
    expected = "train: had ended after epoch 40 of 40; only its results are written, as host 0 says\n"
    assert capsys.readouterr().out == expected


def test_a_signal_to_one_host_ends_all(capsys: pytest.CaptureFixture[str]) -> None:
    others: Any = Others(1, 0)
    received: list[signal.Signals | None] = [None, signal.SIGINT, None]
    ask = agreed(others, lambda: received.pop(0))
    assert ask() is None
    assert others.parted == 0
    assert ask() is signal.SIGINT
    others.other = signal.SIGTERM
    assert ask() is signal.SIGTERM
    assert capsys.readouterr().out == "train: host 0 (one:1) received SIGTERM, so all hosts end\n"
    assert others.parted == 2


def test_hosts_that_pause_part_from_each_other() -> None:
    others: Any = Others(1, 0)
    with pytest.raises(PausedError), together(others):
        raise PausedError(1, 2)
    assert others.parted == 1


def test_an_error_of_an_exchange_names_the_lost_host() -> None:
    hosts = Hosts(["one:1", "two:1"], 1)
    error = tf.errors.UnavailableError(
        None,
        None,
        "Graph execution error: ...\nCollective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error "
        "information from remote target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/RecvBuf:",
    )
    sentence = "host 0 (one:1) has ended or cannot be reached any more (recvmsg:Connection reset by peer), so this one, host 1"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"), together(hosts):
        raise error


def test_an_error_before_all_others_knew_of_it_names_the_lost_host_too() -> None:
    message = (
        "failed to connect\nAdditional GRPC error information from remote target /job:worker/replica:0/task:1 while calling"
    )
    expected = r"^host 1 \(two:1\) has ended or cannot be reached any more \(failed to connect\), so"
    with pytest.raises(UserError, match=expected), together(Hosts(["one:1", "two:1"], 0)):
        raise tf.errors.UnavailableError(None, None, message)


@pytest.mark.parametrize("addresses", [["one:1"], ["one:1", "two:1"]])
def test_any_other_error_stays_what_it_is(addresses: list[str]) -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError), together(Hosts(addresses, 0)):
        raise tf.errors.ResourceExhaustedError(
            None, None, "OOM when allocating tensor on /job:worker/replica:0/task:0/device:CPU:0 in CollectiveGatherV2"
        )


def test_an_empty_variable_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # MirroredStrategy of TensorFlow reads it too, and fails.
    monkeypatch.setenv("TF_CONFIG", "")
    assert Cluster.from_environment().addresses == ("localhost:1",)
    assert "TF_CONFIG" not in os.environ
