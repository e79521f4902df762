"""A TensorFlow library around ResNet-50: data, network, training, evaluation and pictures.

It imports nothing of the pipeline in `tasks/`, and each module can be used alone, in a notebook for example. Only its errors
speak of the pipeline: they name the parameter and the command by which its user can mend things.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet.network.blocks import convolution_block, identity_block
    from resnet.network.model import ResNet

__all__ = ["ResNet", "convolution_block", "identity_block"]

_HOMES = {
    "ResNet": "resnet.network.model",
    "convolution_block": "resnet.network.blocks",
    "identity_block": "resnet.network.blocks",
}


def __getattr__(name: str) -> Any:
    # On first use, because importing TensorFlow takes seconds that code which only reads data or draws should not pay.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'resnet' has no attribute {name!r}")
