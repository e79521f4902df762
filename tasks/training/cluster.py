"""One run on several hosts: what `TF_CONFIG` says, what the hosts must have in common, and how they end together.

`TF_CONFIG` is TensorFlow's standard: {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker",
"index": 0}}. Host 0 is the chief: it alone reads and writes checkpoints, and writes all results.
"""

import io
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet.core.errors import UserError, printable
from tasks.stage.signals import EndedError
from tasks.training.fingerprint import Facts, differences
from tasks.training.pause import PausedError
from tasks.training.progress import say
from tasks.training.refusals import Refusals, tell

if TYPE_CHECKING:
    from resnet.training.hosts import Hosts
    from resnet.training.state import Epoch, TrainingState

VARIABLE = "TF_CONFIG"
MEETING_SECONDS = 300.0  # for a person to type the command on each host

_ADDRESS = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})")
_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
_SHOWN = 60  # characters of a wrong value
_NAMED = 4  # facts that differ


class HelpedError(EndedError):
    """This host has done its part of a run, whose results the chief writes."""

    def __init__(self, chief: str) -> None:
        """Takes the address of the chief."""
        BaseException.__init__(self, f"done; the results are on host 0 ({chief})")
        self.code = 0


class NotAwaitedError(UserError):
    """Another host was refused, so this one does not wait for it."""


@dataclass(frozen=True)
class Cluster:
    """The hosts of a run.

    Attributes:
        addresses: `host:port` of each.
        index: of this host.
    """

    addresses: tuple[str, ...]
    index: int

    @classmethod
    def from_environment(cls) -> "Cluster":
        """The hosts that the environment names; this one alone if it names none.

        Raises:
            UserError: `TF_CONFIG` is not as expected.
        """
        text = os.environ.get(VARIABLE)
        if not text:
            os.environ.pop(VARIABLE, None)  # strategies of TensorFlow fail at an empty one
            return cls(("localhost:1",), 0)
        try:
            given = json.loads(text)
        except ValueError:
            raise _unexpected("JSON", text) from None
        cluster, task = (given.get(name) if isinstance(given, dict) else None for name in ("cluster", "task"))
        workers = cluster.get("worker") if isinstance(cluster, dict) and set(cluster) == {"worker"} else None
        if not isinstance(workers, list) or not workers or not all(map(_is_address, workers)):
            raise _unexpected('a cluster with nothing but a list "worker" of host:port', cluster)
        if len(set(workers)) < len(workers):
            raise _unexpected("another address for each host", workers)
        index = task.get("index") if isinstance(task, dict) and task.get("type") == "worker" else None
        if type(index) is not int or not 0 <= index < len(workers):
            raise _unexpected(f'a task of the type "worker" with an index from 0 to {len(workers) - 1}', task)
        return cls(tuple(workers), index)

    def check(self, *, accumulate: int | str, devices: int, budget_minutes: float) -> None:
        """Checks that the parameters of `train` suit several hosts.

        Raises:
            UserError: they do not.
        """
        hosts = len(self.addresses)
        if hosts == 1:
            return
        if self.index and "DVC_ROOT" in os.environ:
            raise UserError(
                f"this is host {self.index} of {VARIABLE}, which writes no results, but DVC expects some: run `python -m "
                "tasks.train` here, and `dvc repro` on host 0."
            )
        if accumulate != hosts:
            raise UserError(
                f"{VARIABLE} names {hosts} hosts, which compute one part of a batch each, but train.accumulate is "
                f"{accumulate}: set it to {hosts}."
            )
        if devices > 1:
            raise UserError(
                f"{VARIABLE} names {hosts} hosts, and train.devices is {devices}, but a run on several hosts uses one device "
                "of each: set it to 1."
            )
        if budget_minutes:
            raise UserError(
                f"{VARIABLE} names {hosts} hosts, and train.budget_minutes is {budget_minutes:g}, but the clocks of several "
                "hosts would end the run at different epochs: set it to 0 and train.epochs to what fits."
            )


def _is_address(one: object) -> bool:
    match = _ADDRESS.fullmatch(one) if isinstance(one, str) else None
    return match is not None and int(match[1]) < 1 << 16


def _unexpected(expected: str, found: object) -> UserError:
    shown = found if isinstance(found, str) else json.dumps(found)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return UserError(
        f"{VARIABLE} must have {expected}, but has {printable(shown)}: set it as {_EXAMPLE}, or unset it to train on one host."
    )


def say_refused(error: UserError) -> None:
    """Tells the other hosts that the environment names why this one is refused, if they have not met.

    Args:
        error: that ended this host.
    """
    if isinstance(error, NotAwaitedError):
        return
    try:
        cluster = Cluster.from_environment()
    except UserError:  # nobody knows the others
        return
    if len(cluster.addresses) > 1:
        tell(cluster.addresses, cluster.index, str(error))


def met(cluster: Cluster, refusals: Refusals) -> "Hosts":
    """Waits until all hosts of a run are there. TensorFlow must have been started, and must not have computed anything.

    Args:
        cluster: the hosts of the run.
        refusals: of the other hosts; stopped when all have met.

    Raises:
        NotAwaitedError: another host was refused.
        UserError: they did not come, or this host cannot listen at its address.
    """
    import tensorflow as tf

    from resnet.training.hosts import Hosts

    hosts = Hosts(cluster.addresses, cluster.index)
    if hosts.count > 1:
        say(f"train: host {hosts.index} ({hosts.addresses[hosts.index]}) waits for the others, {MEETING_SECONDS:.0f} s at most")
        try:
            hosts.meet(MEETING_SECONDS, lambda: refusals.found is not None)
        except (tf.errors.OpError, RuntimeError) as error:
            if refusals.found:
                raise _not_awaited(hosts, *refusals.found) from error
            raise UserError(
                f"the {hosts.count} hosts of {VARIABLE} did not meet within {MEETING_SECONDS:.0f} s ({_first_line(error)}): "
                f"start the same command on each host, and let each one reach {', '.join(hosts.addresses)}."
            ) from error
        finally:
            refusals.stop()
    return hosts


def _not_awaited(hosts: "Hosts", other: int, sentence: str) -> NotAwaitedError:
    return NotAwaitedError(
        f"host {other} ({hosts.addresses[other]}) was refused, so this one, host {hosts.index} "
        f"({hosts.addresses[hosts.index]}), does not wait for it: {sentence}"
    )


def require_equal(hosts: "Hosts", facts: Facts) -> None:
    """Checks that all hosts have the same parameters, data, code, versions and kind of machine.

    Raises:
        UserError: they have not. All hosts raise it.
    """
    others: list[Facts] = [json.loads(text) for text in hosts.texts(json.dumps(facts).encode())]
    for index, other in enumerate(others):
        names = differences(others[0], other)
        if names:
            hosts.part()
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise UserError(
                f"host {index} ({hosts.addresses[index]}) differs from host 0 ({hosts.addresses[0]}) in "
                f"{', '.join(names[:_NAMED])}{more}: all hosts need the same parameters, data, code, versions and kind of "
                "processor, because each of them computes all weights."
            )


def require_same_result(hosts: "Hosts", epoch: "Epoch") -> None:
    """Checks after an epoch that all hosts still have the same weights, by the losses of the epoch.

    Raises:
        UserError: they have not. All hosts raise it.
    """
    losses = [text.decode() for text in hosts.texts(f"{epoch.loss!r} {epoch.val_loss!r}".encode())]
    if len(set(losses)) > 1:
        hosts.part()
        raise UserError(
            f"the hosts have different losses after epoch {epoch.epoch} ({'; '.join(losses)}), so one of them computes "
            "wrongly: find out which, then run the same command on all hosts to go on from the last checkpoint."
        )


def shared_state(hosts: "Hosts", state: "TrainingState", resumed: str | None) -> str | None:
    """Gives all hosts the state of the chief, which has read a checkpoint or has not; returns what `resume` returned there."""
    from resnet.training.checkpoint_files import decoded, encoded

    if hosts.count == 1:
        return resumed
    goes_on = hosts.from_chief((resumed or "").encode()).decode().strip()
    if goes_on:
        content = hosts.from_chief(b"".join(encoded(state.snapshot())) if hosts.index == 0 else b"")
        if hosts.index:
            state.restore(decoded(io.BytesIO(content)))
            say(f"train: {goes_on}, as host 0 says")
    return goes_on or None


def agreed(hosts: "Hosts", received: Callable[[], signal.Signals | None]) -> Callable[[], signal.Signals | None]:
    """A function that returns the signal that this host or another one received, for all hosts to call at the same time.

    So all end after the same step, and the chief saves it.

    Args:
        hosts: of the run.
        received: returns the signal that this host received, or None.
    """
    if hosts.count == 1:
        return received

    def ask() -> signal.Signals | None:
        mine = received()
        numbers = hosts.numbers(mine or 0)
        for index, number in enumerate(numbers):
            if number and mine is None:
                mine = signal.Signals(number)
                say(f"train: host {index} ({hosts.addresses[index]}) received {mine.name}, so all hosts end")
        if any(numbers):
            hosts.part()
        return mine

    return ask


@contextmanager
def together(hosts: "Hosts") -> Iterator[None]:
    """Turns the error of an exchange in the block, because another host has ended, into a sentence.

    Raises:
        UserError: another host has ended.
    """
    import tensorflow as tf

    try:
        yield
    except PausedError:  # all hosts raise it at the same time
        hosts.part()
        raise
    except tf.errors.OpError as error:
        lost = hosts.lost(error)
        if lost is None:
            raise
        raise UserError(
            f"{lost}, so this one, host {hosts.index} ({hosts.addresses[hosts.index]}), ends: see what the other one printed, "
            "then run the same command on all hosts to go on from the last checkpoint."
        ) from error


def _first_line(error: Any) -> str:
    return printable(str(error).strip().partition("\n")[0][:200])
