"""A TensorFlow library around ResNet-50: data, network, training, evaluation and pictures.

It imports nothing from the pipeline in `tasks/`. Each module can be used alone, for example in a notebook. Only its error
messages mention the pipeline: they name the parameter to change or the command to run.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet.network.blocks import convolution_block, identity_block
    from resnet.network.model import ResNet

__all__ = ["ResNet", "convolution_block", "identity_block"]

_MODULES = {
    "ResNet": "resnet.network.model",
    "convolution_block": "resnet.network.blocks",
    "identity_block": "resnet.network.blocks",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: TensorFlow takes seconds to import, and code that only reads data or draws does not need it.
    if name in _MODULES:
        with importlib.import_module("resnet.network.startup").quiet_import():
            return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'resnet' has no attribute {name!r}")
