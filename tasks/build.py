"""Makes the network for the classes of the data, with its initial weights."""

import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from resnet.core.classes import read_classes, read_label_sets
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.network.startup import start_tensorflow
from tasks.stage.command import main
from tasks.stage.params import Params, Section
from tasks.stage.signals import at_once

if TYPE_CHECKING:
    from resnet.network.model import ResNet

_SUMMARY_WIDTH = 120
_LEAST_PUBLISHED = 50  # the least depth for which Keras publishes weights

Positive = Annotated[int, Field(ge=1)]


class Build(Section):
    """Parameters of the stage `build`."""

    depth: Literal[18, 34, 50, 101, 152] = Field(description="18 or 34 (basic blocks), 50, 101 or 152 (bottleneck blocks)")
    variant: Literal["v1", "v1.5", "D"] = Field(
        description="v1.5: stride in the 3x3 convolution; v1: as keras.applications; D: deep stem, pooled shortcuts"
    )
    stem: Literal["large", "small", "auto"] = Field(
        description="large divides the sides by 4; small keeps them, at 16 times the cost; auto: small to 64 pixels"
    )
    blocks: Annotated[list[Positive], Field(min_length=1, max_length=6)] | None = Field(
        description="blocks in each stage, such as [3, 4, 6, 3]; null: as usual for the depth"
    )
    width: int = Field(ge=4, le=1024, description="channels of the stem; the channels of all other layers are multiples of it")
    momentum: float = Field(
        gt=0, lt=1, description="momentum of the moving statistics of batch normalisation; closer to 1 for runs with many steps"
    )
    zero_init_last_gamma: bool = Field(description="initialise every residual block as the identity")
    weights: str = Field(
        min_length=1,
        description="builtin/random, builtin/imagenet (v1 with 50 layers or more), or a .keras file of this project",
    )

    def check(self, whole: Params) -> None:
        """The published weights exist for this network. The stage itself would say so only after `ingest` and `preprocess`."""
        given = (self.variant, self.depth >= _LEAST_PUBLISHED, self.stem != "small", self.width, self.blocks)
        if self.weights == "builtin/imagenet" and given != ("v1", True, True, 64, None):
            raise UserError(
                "build.weights is builtin/imagenet, which exists for build.variant v1, build.depth 50, 101 or 152, build.stem "
                f"large, build.width 64 and build.blocks null, but they are {self.variant}, {self.depth}, {self.stem}, "
                f"{self.width} and {self.blocks or 'null'}: change them, or set build.weights to builtin/random."
            )


def build(
    params: Build, *, seed: int, image_size: int, classes_json: Path, initial_keras: Path, model_summary_txt: Path
) -> None:
    """Makes the network and its initial weights; the same seed gives the same weights."""
    classes, several = read_classes(classes_json), read_label_sets(classes_json) is not None
    with at_once():
        start_tensorflow()
    import keras

    from resnet.network.model import ResNet
    from resnet.network.saving import save_model
    from resnet.pretrained import initialise

    keras.utils.set_random_seed(seed)
    given = params.model_dump(exclude={"weights"})
    model = ResNet((image_size, image_size, 3), len(classes), class_names=classes, multi_label=several, **given)
    initialise(model, params.weights)
    save_model(model, initial_keras)
    with replacing(model_summary_txt) as partial:
        partial.write_text(summary(model), encoding="utf-8")
    print(
        f"build: ResNet-{params.depth} {params.variant}, {model.get_config()['stem']} stem, weights {params.weights}: "
        f"{model.count_params():,} parameters for {len(classes):,} classes"
        f"{', any number of them in an image' if several else ''}"
    )


def summary(model: "ResNet") -> str:
    """The table of layers that Keras prints, with the same width and characters on any terminal and in any encoding."""
    text = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_SUMMARY_WIDTH)  # Keras prints through rich, which reads it first
    try:
        with redirect_stdout(text):
            model.summary(line_length=_SUMMARY_WIDTH)
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main("build"))
