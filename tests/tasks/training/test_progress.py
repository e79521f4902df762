"""What training prints while it runs."""

import io
import sys
from dataclasses import replace

import pytest

from resnet.training.state import Epoch, Progress
from tasks.training.progress import Display, say

EPOCH = Epoch(2, 0.5, 0.75, 0.25, 0.875, 0.01, 12.34, 98.7)
STEP = Progress(epoch=2, step=3, steps=9, loss=0.5, accuracy=0.75, learning_rate=0.01, images_per_second=8.0)


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(Terminal):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError("Input/output error")


def test_an_epoch_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(10) as display:
        display.step(STEP)
        display.epoch(EPOCH)
    captured = capsys.readouterr()
    assert captured.out == (
        "epoch 2/10: loss 0.5000, accuracy 0.7500, val_loss 0.2500, val_accuracy 0.8750, 99 images/s, 12.3 s\n"
    )
    assert captured.err == ""  # no progress bar where there is no terminal


def test_a_terminal_shows_the_position_of_a_resumed_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Display(10) as display:
        display.step(STEP)
        assert display._bar.n == 3
        assert display._bar.total == 9
        display._bar.refresh()
    assert "epoch 2/10:  33%" in terminal.getvalue()


@pytest.mark.parametrize(("rate", "shown"), [(0.4321, "0.43 images/s"), (9.87, "9.9 images/s"), (1234.5, "1234 images/s")])
def test_a_slow_step_is_not_shown_as_none(rate: float, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Display(10) as display:
        display.epoch(replace(EPOCH, images_per_second=rate))
    assert f" {shown}, 12.3 s" in capsys.readouterr().out


def test_a_closed_terminal_does_not_end_training(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Closed()
    with Display(10) as display:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(display, "_show", lambda progress: closed.write("x"))
        display.step(STEP)
        display.epoch(EPOCH)
        say("x")
