"""The summary of the network."""

import re

import pytest

from resnet.core.errors import UserError
from resnet.network.model import ResNet
from tasks.build import Build, summary
from tasks.stage.params import Params


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


@pytest.mark.parametrize(
    "changes", [{}, {"depth": 152}, {"stem": "auto"}, {"variant": "v1.5"}, {"depth": 34}, {"stem": "small"}, {"width": 32}]
)
def test_published_weights_are_refused_before_any_stage_works(changes: dict[str, object]) -> None:
    values = {"depth": 50, "variant": "v1", "stem": "large", "blocks": None, "width": 64, "momentum": 0.9}
    params = Build.model_validate({**values, "zero_init_last_gamma": True, "weights": "builtin/imagenet", **changes})
    if not changes or changes.get("depth") == 152 or changes.get("stem") == "auto":
        params.check(Params(0, {}))
    else:
        with pytest.raises(UserError, match="builtin/imagenet, which exists for build.variant v1, build.depth 50, 101 or 152"):
            params.check(Params(0, {}))
