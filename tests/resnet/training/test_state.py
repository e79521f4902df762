"""A resumed run gives the same result as one that was never interrupted."""

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.network.device_kernels import PROCESSOR, using
from resnet.network.model import ResNet
from resnet.training.augmentation import Augmentation
from resnet.training.checkpoint_files import CheckpointWriter, encoded, read_newest, write_checkpoint
from resnet.training.loop import Trainer
from resnet.training.optimizers import make_optimizer, warmup_cosine
from resnet.training.state import Snapshot

EPOCHS, STEPS, BATCH = 2, 3, 8


def trainer(width: int = 4, rate: float | None = None) -> Trainer:
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=width, zero_init_last_gamma=False)
    schedule = rate or warmup_cosine(0.01, EPOCHS * STEPS, 1)
    optimizer = make_optimizer("adam", schedule, 0.9, 1e-3, model.trainable_variables)
    return Trainer(model, optimizer, augmentation=Augmentation(flip=True, shift=0.2), label_smoothing=0.1)


def fit(one: Trainer, splits: tuple[Split, Split]) -> list[Snapshot]:
    """Trains to the end; returns the state after each step, each batch of validation, and each epoch."""
    taken: list[Snapshot] = []

    def take(*_: object) -> None:
        taken.append(one.state.snapshot())

    one.fit(*splits, epochs=EPOCHS, batch_size=BATCH, seed=3, on_step=take, on_validation_step=take, on_epoch=take)
    return taken


def outcome(one: Trainer) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in (*one.model.get_weights(), *one.state.snapshot().arrays.values())]


def figures(one: Trainer) -> list[tuple[object, ...]]:
    """The history without its two columns of time."""
    return [astuple(epoch)[:6] for epoch in one.state.history]


@pytest.fixture
def splits(separable: Callable[[str, int], Split]) -> tuple[Split, Split]:
    return separable("t", STEPS * BATCH + 5), separable("v", 12)


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_run_is_the_same_after_a_resume_from_anywhere(ahead: int, splits: tuple[Split, Split]) -> None:
    undisturbed = trainer()
    fit(undisturbed, splits)
    with using(replace(PROCESSOR, steps_ahead=ahead)):
        taken = fit(trainer(), splits)
    assert len(taken) == EPOCHS * (STEPS + 2 + 1)
    sizes = [sum(map(len, encoded(snapshot))) for snapshot in taken]
    assert max(sizes) < undisturbed.state.most_bytes(EPOCHS)
    resumed = trainer()  # used for all positions, so that anything not restored is left from another position
    for snapshot in taken:
        resumed.state.images_per_second = 0.0
        resumed.state.restore(snapshot)
        fit(resumed, splits)
        assert all(epoch.images_per_second > 0 for epoch in resumed.state.history)
        assert figures(resumed) == figures(undisturbed)
        assert outcome(resumed) == outcome(undisturbed)


def test_a_snapshot_does_not_change_while_training_continues(splits: tuple[Split, Split]) -> None:
    first, *_, last = fit(trainer(), splits)
    again = trainer()
    copies: list[Snapshot] = []
    with pytest.raises(KeyboardInterrupt):
        again.fit(*splits, epochs=EPOCHS, batch_size=BATCH, seed=3, on_step=lambda _: stop(again, copies))
    assert all(np.array_equal(copies[0].arrays[name], array) for name, array in first.arrays.items())
    assert not all(np.array_equal(last.arrays[name], array) for name, array in first.arrays.items())


def stop(one: Trainer, copies: list[Snapshot]) -> None:
    copies.append(one.state.snapshot())
    raise KeyboardInterrupt


def test_a_run_that_diverges_keeps_its_last_good_state(splits: tuple[Split, Split], tmp_path: Path) -> None:
    one = trainer(rate=1e30)
    folder = tmp_path / "checkpoints"
    with CheckpointWriter(folder, one.state, seconds=0) as writer:
        write_checkpoint(folder, one.state.snapshot())
        with pytest.raises(
            UserError,
            match=r"at step [23] of 3 in epoch 1, where the learning rate was 1e\+30; running again would give the same",
        ):
            one.fit(*splits, epochs=1, batch_size=BATCH, seed=3, on_step=lambda _: keep(writer))
    kept = read_newest(folder, print)
    assert kept is not None
    assert all(np.isfinite(array).all() for array in kept.arrays.values())


def keep(writer: CheckpointWriter) -> None:
    writer.write()


def test_a_snapshot_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"differs in model/00000, "):
        trainer().state.restore(trainer(width=8).state.snapshot())
