"""OpenVINO as this project uses it: without its reports of usage, and only if it is installed."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from resnet.core.errors import UserError

_TELEMETRY = "openvino_telemetry"


class BrokenPackageError(UserError):
    """A package that is installed and cannot be imported.

    Attributes:
        reason: the kind of the error at its import.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


def is_installed(package: str = "openvino") -> bool:
    """Whether OpenVINO, or another package, is installed; this does not import it."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # without an origin it is a folder that has no code


def require_installed(package: str = "openvino") -> None:
    """Raises `UserError` if OpenVINO, or its package "nncf", is not installed."""
    if not is_installed(package):
        raise UserError(
            f"{package} is not installed: run pip install 'train-resnet[openvino]', or pip install -e '.[openvino]' in this "
            "folder."
        )


def import_openvino() -> ModuleType:
    """Imports OpenVINO.

    Raises:
        UserError: it is not installed, or is broken.
    """
    return _import("openvino")


def import_nncf() -> ModuleType:
    """Imports NNCF, OpenVINO's package for quantisation.

    Raises:
        UserError: it is not installed, or is broken.
    """
    # It replaces an object that sends reports by one that does nothing, whether or not `openvino_telemetry` can be imported.
    os.environ.setdefault("NNCF_CI", "1")
    nncf = _import("nncf")
    nncf.set_log_level(40)  # logging.ERROR
    return nncf


def _import(name: str) -> ModuleType:
    # At their import both packages send the version of Python and of the operating system to Google Analytics, and write a
    # number into ~/intel. They leave that out where this package cannot be imported.
    if _TELEMETRY not in sys.modules:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    require_installed(name)
    try:
        return import_module(name)
    except Exception as error:  # of a library that is missing, is damaged, or was built for another machine
        reason = (str(error).splitlines() or [""])[0]
        raise BrokenPackageError(
            f"{name} is installed and cannot be imported ({type(error).__name__}: {reason}): run pip install --force-reinstall "
            "'train-resnet[openvino]'.",
            type(error).__name__,
        ) from error
