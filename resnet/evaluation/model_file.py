"""What a `.keras` file of ours says of itself, read in a moment: Keras and TensorFlow take seconds to import."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet.errors import UserError, damaged_input, missing_input


@dataclass(frozen=True)
class ModelFacts:
    """What a network knows.

    Attributes:
        class_names: in the order of its logits.
        image_shape: (height, width, channels) of its images.
        config: all arguments of `resnet.model.ResNet`.
    """

    class_names: list[str]
    image_shape: tuple[int, int, int]
    config: dict[str, Any]


def read_model_facts(path: Path) -> ModelFacts:
    """What the network in a file was made of.

    Raises:
        UserError: there is no such file, or it holds something else than a `ResNet` with names of classes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            saved = json.loads(archive.read("config.json"))
        config = saved["config"]
        if saved["registered_name"] != "resnet>ResNet" or not config["class_names"]:
            raise UserError(
                f"{path} holds a {saved['class_name']} instead of a ResNet with names of classes; name another file."
            )
        height, width, channels = config["input_shape"]
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise damaged_input(path, error) from error
    return ModelFacts(list(config["class_names"]), (height, width, channels), config)
