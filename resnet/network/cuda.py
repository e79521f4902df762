"""NVIDIA's CUDA libraries, which TensorFlow opens by name, and the GPUs that NVIDIA's driver lists."""

import ctypes
import importlib.util
import math
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

# What TensorFlow opens when it starts, by the name of its loader's function. If one does not open, it uses no GPU at all.
LIBRARIES = {
    "CudaRuntime": "libcudart.so.12",
    "Cublas": "libcublas.so.12",
    "CublasLt": "libcublasLt.so.12",
    "Cufft": "libcufft.so.11",
    "Cusolver": "libcusolver.so.11",
    "Cusparse": "libcusparse.so.12",
    "Cudnn": "libcudnn.so.9",
}
OLDEST_CUDNN = (9, 3)  # TensorFlow refuses an older one than it was built with when the first convolution runs
OLDEST_DRIVER = (525, 60, 13)  # for CUDA 12: NVIDIA, CUDA Compatibility, minor version compatibility
_PACKAGES = "nvidia"  # the folder in site-packages that has the wheels' libraries
_SECONDS = 30.0
_PAUSE_SECONDS = 600.0  # before a program is asked again that did not answer
_hung: dict[str, float] = {}  # such programs, and when that was
_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[\w/-]+)\)", re.ASCII)
_OK = 1  # the first word of an absl::Status without an error


def open_cusolver() -> None:
    """Opens cuSOLVER if its wheel is installed, before TensorFlow does.

    TensorFlow 2.21 looks for the other libraries in the folders of their wheels, and for this one in a folder that does not
    exist. A library that is already open is found by its name.
    """
    folder = _wheels()
    library = folder / "cusolver" / "lib" / LIBRARIES["Cusolver"] if folder else None
    if library and library.is_file():
        ctypes.CDLL(str(library))


def unopened() -> list[str]:
    """The names of the libraries that TensorFlow's own loader cannot open. Loads TensorFlow's framework library, no more.

    Raises:
        OSError: TensorFlow's framework library is missing or cannot be loaded.
        AttributeError: this TensorFlow has another loader.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise OSError("TensorFlow is not installed")
    framework = ctypes.CDLL(str(Path(spec.origin).parent / "libtensorflow_framework.so.2"))
    closed = []
    for name, library in LIBRARIES.items():
        function = f"Get{name}DsoHandle"
        result = (ctypes.c_uint64 * 2)()  # an absl::StatusOr<void*>
        framework[f"_ZN3tsl8internal15CachedDsoLoader{len(function)}{function}Ev"](ctypes.byref(result))
        if result[0] != _OK:
            closed.append(library)
    return closed


def old_cudnn() -> str | None:
    """The version of cuDNN if it is older than TensorFlow needs, such as "9.1.0"; None if it is not, or does not open.

    The loader's own path comes before the wheels: an old cuDNN in LD_LIBRARY_PATH is found first.
    """
    try:
        number: int = ctypes.CDLL(LIBRARIES["Cudnn"]).cudnnGetVersion()
    except (OSError, AttributeError):
        return None
    version = number // 10_000, number // 100 % 100, number % 100
    return ".".join(map(str, version)) if version[:2] < OLDEST_CUDNN else None


def installed() -> bool:
    """Whether the wheels of `requirements-gpu.lock` are installed."""
    folder = _wheels()
    return folder is not None and (folder / "cudnn").is_dir()


def gpus_of_driver() -> list[str]:
    """The names of the GPUs that NVIDIA's driver lists; none without `nvidia-smi`, or if it fails: see `silence`."""
    lines, _ = nvidia_smi("--list-gpus")
    return [found[1] for line in lines if (found := re.match(r"GPU \d+: (.+) \(UUID", line)) and found[1].isprintable()]


def slices() -> list[str]:
    """The names of the slices of GPUs with MIG, such as "1g.10gb". A process can use one of them: NVIDIA, MIG User Guide."""
    lines, _ = nvidia_smi("--list-gpus")
    return [found[1] for line in lines if (found := _SLICE.match(line))]


def for_cuda() -> list[str]:
    """The names of the GPUs for CUDA_VISIBLE_DEVICES: indices, and in place of a GPU with MIG those of its slices."""
    lines, why_not = nvidia_smi("--list-gpus")
    names: list[str] = []
    gpu = None
    for line in lines if why_not is None else ():
        if found := re.match(r"GPU (\d+): ", line, re.ASCII):
            gpu = found[1]
            names.append(gpu)
        elif found := _SLICE.match(line):
            if names and names[-1] == gpu:
                names.pop()
            names.append(found[2])
    return names


def silence() -> str | None:
    """Why `nvidia-smi` is there but does not list GPUs, as a clause; None if it lists them, or if there is none."""
    return nvidia_smi("--list-gpus")[1]


def driver() -> str | None:
    """The version of NVIDIA's driver, such as "550.54.15"; None if `nvidia-smi` does not say."""
    lines, _ = nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader")
    return next((line.strip() for line in lines if re.fullmatch(r"\d+(\.\d+)+", line.strip(), re.ASCII)), None)


def hidden(gpus: int | None = None) -> str | None:
    """The value of CUDA_VISIBLE_DEVICES if it hides all GPUs, otherwise None.

    CUDA reads the list up to the first entry that is no GPU, so the first one decides.

    Args:
        gpus: their number on this machine; None if it is not known.
    """
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    first = value.partition(",")[0].strip()
    if first.isdecimal() and first.isascii():
        return value if gpus is not None and int(first) >= gpus else None
    return None if first.startswith(("GPU-", "MIG-")) else value


def obstacle() -> str | None:
    """Why TensorFlow can use none of the GPUs that the driver lists, with what to do; None if nothing known is in the way.

    Does not look whether the libraries can be opened, which takes seconds: see `unopened`.
    """
    value = hidden(len(gpus_of_driver()))
    if value is not None:
        return f"CUDA_VISIBLE_DEVICES is {value!r}, which hides all GPUs: unset it"
    found = driver()
    if found:
        parts = tuple(int(part) for part in found.split("."))
        if parts < OLDEST_DRIVER[: len(parts)]:
            needed = ".".join(map(str, OLDEST_DRIVER))
            return f"the driver is {found}, and CUDA 12 needs {needed} or later: update NVIDIA's driver"
    if _without_slices():
        return "MIG is on and there are no slices: make one with `nvidia-smi mig -cgi` and `-cci`, or switch MIG off"
    if not installed():
        return "the CUDA libraries are not installed: run `make setup GPU=1`"
    return None


def _without_slices() -> bool:
    """Whether every GPU is in MIG mode and none is divided: CUDA then finds no device."""
    modes, _ = nvidia_smi("--query-gpu=mig.mode.current", "--format=csv,noheader")
    return bool(modes) and all(mode.strip() == "Enabled" for mode in modes) and not slices()


def _wheels() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGES)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def nvidia_smi(*arguments: str) -> tuple[list[str], str | None]:
    """The lines of `nvidia-smi`, and what is wrong with it if it is there but does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], None
    no_answer = f"nvidia-smi does not answer within {_SECONDS:.0f} s"
    if time.monotonic() < _hung.get(program, -math.inf) + _PAUSE_SECONDS:
        return [], no_answer
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except OSError as error:
        return [], f"nvidia-smi does not start ({error.strerror})"
    except subprocess.TimeoutExpired:
        _hung[program] = time.monotonic()
        return [], no_answer
    return done.stdout.splitlines(), f"nvidia-smi fails with exit code {done.returncode}" if done.returncode else None
