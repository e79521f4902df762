"""Makes the network for the classes at hand, and its first weights."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from resnet.data.classes import read_classes
from resnet.files import replacing
from tasks.backend import start_tensorflow
from tasks.params import Section
from tasks.stage import main

Positive = Annotated[int, Field(ge=1)]


class Build(Section):
    """Parameters of `build`, see `params.yaml`."""

    variant: Literal["v1", "v1.5"]
    blocks: Annotated[list[Positive], Field(min_length=1, max_length=6)]
    width: Annotated[int, Field(ge=4, le=1024)]
    momentum: Annotated[float, Field(gt=0, lt=1)]
    zero_init_last_gamma: bool


def build(
    params: Build, *, seed: int, image_size: int, classes_json: Path, initial_keras: Path, model_summary_txt: Path
) -> None:
    """Decides the architecture; the same seed makes the same weights."""
    classes = read_classes(classes_json)
    start_tensorflow()
    import keras

    from resnet.model import ResNet
    from resnet.saving import save_model

    keras.utils.set_random_seed(seed)
    model = ResNet((image_size, image_size, 3), len(classes), class_names=classes, **params.model_dump())
    save_model(model, initial_keras)
    with replacing(model_summary_txt) as partial, partial.open("w", encoding="utf-8") as file:
        model.summary(line_length=120, print_fn=lambda line: file.write(line + "\n"))
    print(f"build: ResNet {params.variant} with {model.count_params():,} parameters for {len(classes):,} classes")


if __name__ == "__main__":
    sys.exit(main("build"))
