"""One run on two hosts, which are two processes of this machine: the result of one host, and ends on both."""

import csv
import signal
from pathlib import Path

import numpy as np
import pytest

from resnet.training.checkpoint_files import list_checkpoints, read_checkpoint
from resnet.training.state import Snapshot
from tests.interrupted import RESUMED, TinyRun
from tests.two_hosts import LOST, TwoHosts, config, free_ports


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TwoHosts:
    run = TwoHosts(tmp_path_factory.mktemp("run"))
    run.set(precision="float32", epochs="1", optimizer="sgd", weight_decay="0.01", mixup="0.2", cutmix="1.0", ema="0.9")
    return run


@pytest.fixture(autouse=True)
def forgotten(run: TwoHosts) -> None:
    run.forget()


def final(run: TinyRun) -> tuple[Snapshot, list[float]]:
    """The last state of a run, and its figures."""
    (folder,) = run.checkpoints.glob("*/")
    rows = list(csv.reader((run.folder / "reports/history.csv").read_text("utf-8").splitlines()))
    return read_checkpoint(list_checkpoints(folder)[0].path), [float(figure) for row in rows[1:] for figure in row]


def last_line(run: TinyRun) -> str:
    return run.log.splitlines()[-1]


def test_two_hosts_give_the_result_of_one_and_the_same_bytes_after_any_end(run: TwoHosts) -> None:
    chief, other = run.hosts
    chief.complete()
    expected, figures = final(chief)
    run.forget()
    undisturbed = run.complete()
    shared, shared_figures = final(chief)
    assert shared_figures == pytest.approx(figures, abs=1e-5)
    assert expected.arrays.keys() == shared.arrays.keys()  # among them the moving statistics of both parts
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(shared.arrays[name], array, rtol=1e-4, atol=1e-5, err_msg=name)

    run.forget()
    kill = {"stop_by": signal.SIGKILL}
    assert run.join(run.start(other={"stop_at": (1, 7), **kill})) == (1, -signal.SIGKILL), run.log
    assert LOST[1] in chief.log
    assert run.join(run.start(chief={"stop_at": (1, 13), **kill})) == (-signal.SIGKILL, 1), run.log
    assert LOST[1] in other.log
    assert run.complete() == undisturbed, run.log
    assert len(RESUMED.findall(chief.log)) == 2
    assert RESUMED.findall(chief.log) == RESUMED.findall(other.log)
    assert run.written_by_the_other() == []


def test_a_host_that_is_refused_before_the_meeting_tells_the_others(run: TwoHosts) -> None:
    chief, other = run.hosts
    wait_long = {"meeting_seconds": 600}  # `join` does not
    for refused, waiting in ((other, chief), (chief, other)):
        run.forget()
        refused.set(accumulate="1")
        assert run.join(run.start(chief=wait_long, other=wait_long)) == (1, 1), run.log
        refused.set(accumulate="2")
        sentence = last_line(refused).removeprefix("train: ")
        assert sentence.startswith(
            "TF_CONFIG names 2 hosts, which compute one part of a batch each, but train.accumulate is 1: "
        )
        number, own = (run.hosts.index(refused), run.hosts.index(waiting))
        assert last_line(waiting).startswith(f"train: host {number} (127.0.0.1:")
        assert f" was refused, so this one, host {own} (127.0.0.1:" in last_line(waiting)
        assert last_line(waiting).endswith(f"), does not wait for it: {sentence}")


def test_hosts_that_differ_refuse_each_other_and_a_host_does_not_wait_for_ever(run: TwoHosts) -> None:
    chief, other = run.hosts
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    other.set(label_smoothing="0.3")
    processes = run.start()
    alone = chief.start(tf_config=config(workers, 0), meeting_seconds=3)
    assert run.join(processes) == (1, 1), run.log
    assert chief.join(alone) == 1
    other.set(label_smoothing="0.1")
    assert "differs from host 0 (127.0.0.1:" in last_line(other)
    assert " in train.label_smoothing: all hosts need the same parameters" in last_line(other)
    assert last_line(other).replace("train: ", "") in chief.log
    assert "train: the 2 hosts of TF_CONFIG did not meet within 3 s" in chief.log
    assert not Path(chief.folder / "models/resnet.keras").exists()
