"""Which engine computes predictions: TensorFlow, or OpenVINO where it is installed and at least as fast."""

from dataclasses import dataclass
from pathlib import Path

from resnet.core.errors import UserError
from resnet.network.cuda import hidden
from resnet.network.precision import cpu_flags, fastest_precision
from resnet.openvino.runtime import BrokenPackageError, import_openvino, is_installed, require_installed

ENGINES = ("auto", "tensorflow", "openvino")


@dataclass(frozen=True)
class Choice:
    """An engine and the precision to compute in.

    Attributes:
        engine: "tensorflow" or "openvino".
        reason: why this engine, for people.
        precision: "float32", "bfloat16" or "float16"; for TensorFlow also "auto", which depends on the GPUs that it finds.
        why_precision: why this precision; empty for TensorFlow.
    """

    engine: str
    reason: str
    precision: str
    why_precision: str = ""


def choose_engine(wanted: str, precision: str) -> Choice:
    """The engine and the precision. Does not import TensorFlow, and imports OpenVINO only if it is chosen.

    Until the first prediction OpenVINO needs half of TensorFlow's processor time. After that it is as fast or faster, on a
    processor: `docs/design.md` has the measurements.

    Args:
        wanted: one of `ENGINES`.
        precision: "auto", "float32", "bfloat16" or "float16".

    Raises:
        UserError: OpenVINO is wanted, and is not installed, is broken or does not compute in this precision here.
    """
    if wanted == "tensorflow":
        return Choice("tensorflow", "as --engine says", precision)
    fastest, why = fastest_precision([], cpu_flags())
    obstacle = _obstacle(precision, fastest)
    if wanted == "openvino":
        require_installed()
        if obstacle:
            raise UserError(f"--engine openvino {obstacle}: choose another --precision, or --engine tensorflow.")
    elif not is_installed():
        return Choice("tensorflow", "OpenVINO is not installed", precision)
    elif obstacle or _has_gpu():
        return Choice("tensorflow", f"OpenVINO {obstacle}" if obstacle else "this machine has a GPU", precision)
    try:
        import_openvino()
    except BrokenPackageError as error:
        if wanted == "openvino":
            raise
        return Choice("tensorflow", f"OpenVINO cannot be imported ({error.reason})", precision)
    reason = "as --engine says" if wanted == "openvino" else "the faster one on a processor"
    if precision != "auto":
        fastest, why = precision, "as --precision says"
    return Choice("openvino", reason, fastest, why)


def _obstacle(precision: str, fastest: str) -> str:
    """Why OpenVINO does not compute in a precision on this processor, or nothing."""
    if precision == "float16":
        return "does not compute in float16"
    if precision == "bfloat16" and fastest != "bfloat16":
        return "would compute in float32 instead of bfloat16 on this processor"
    return ""


def _has_gpu() -> bool:
    """Whether TensorFlow may find a GPU: it takes seconds to ask it, and CUDA needs one of these devices."""
    return hidden() is None and any(Path("/dev").glob("nvidia[0-9]*"))
