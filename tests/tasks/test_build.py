"""The summary of the network."""

import re

import pytest

from resnet.network.model import ResNet
from tasks.build import summary


def test_the_summary_is_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ResNet((32, 32, 3), 10)
    texts = []
    for width in ("60", "200"):
        monkeypatch.setenv("COLUMNS", width)
        texts.append(summary(model))
    monkeypatch.delenv("COLUMNS")
    assert summary(model) == texts[0] == texts[1]
    assert re.search(r"conv1_conv \(Conv2D\).+16, 16, 64.+ 9,408 ", texts[0])  # 7 * 7 * 3 * 64
    assert "Total params: 23,581,642" in texts[0]
    assert len({len(line) for line in texts[0].splitlines() if line.startswith(("│", "├", "┡"))}) == 1
