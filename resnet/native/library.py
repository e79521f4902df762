"""Compiles and loads the C++ files in this folder: `python -m resnet.native.library` compiles it, as `make setup` does.

The library is optional. Without a compiler, or on a machine for which it was not compiled, training uses TensorFlow's own
operations, and takes longer. The compiled file is in the virtual environment, which it is only valid for: it depends on the
installed TensorFlow. Its name has a hash of everything that it is made from, so that a stale one is never loaded. It ends in
the SHA-256 of everything before it, which the loader ignores, so that a damaged one is known and compiled again.
"""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet.core.checksums import sha256
from resnet.network.precision import cpu_flags

_FOLDER = Path(__file__).parent
SOURCES = (*sorted(_FOLDER.glob("*.cc")), *sorted(_FOLDER.glob("*.h")))
SWITCH = "TRAIN_RESNET_NATIVE"  # "0" in the environment: train with TensorFlow's own operations
NOT_COMPILED = "they have not been compiled"
DAMAGED = "their compiled file is damaged"
MENDED_BY_SETUP = (NOT_COMPILED, DAMAGED)
_DIGEST = 32  # bytes
_SECONDS = 300.0  # it takes 20 s on a quiet machine
# The instructions to compile for: g++'s name, and the flags that a processor must have in /proc/cpuinfo.
_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_LEVELS = (
    (("-march=x86-64-v4", "-mprefer-vector-width=512", "-mavx512bf16"), {*_AVX512, "avx512_bf16"}),
    (("-march=x86-64-v4", "-mprefer-vector-width=512"), _AVX512),
    (("-march=x86-64-v3",), {"avx2", "fma", "bmi2", "f16c"}),
)
# Errors are not reported through errno: with it, a square root is a call. Otherwise arithmetic is as the C++ standard says.
OPTIONS = ("-O3", "-fno-math-errno", "-fPIC", "-std=c++17")
_UPDATE = _FOLDER / "update.cc"
UPDATE_OPTIONS = ("-ffp-contract=off",)  # for that file, which says why


def unavailable() -> str | None:
    """Why the library cannot be loaded on this machine, as a clause, or None if it can be.

    Looks at files alone and does not import TensorFlow.
    """
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0"
    if instructions() is None:
        return "this processor has no AVX2"
    if not path().exists():
        return NOT_COMPILED
    return None if _is_whole(path().read_bytes()) else DAMAGED


def path() -> Path:
    """Where the library for this source, TensorFlow and processor is, or would be."""
    sources = [source.read_text("utf-8") for source in SOURCES]
    made_from = (*sources, version("tensorflow"), *OPTIONS, *UPDATE_OPTIONS, *(instructions() or ()))
    key = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
    return Path(sys.prefix) / "lib" / "train-resnet" / f"fused-{key}.so"


def load() -> Any | None:
    """The operations as a module, or None if the library is not available or this device does not use it.

    TensorFlow must have been started.
    """
    from resnet.network.device_kernels import kernels

    return _operations() if kernels().fused else None


@functools.cache
def _operations() -> Any | None:
    import tensorflow as tf

    why = unavailable()
    if why:
        if why == DAMAGED:
            print(f"train: {path().name} is damaged; `make setup` compiles it again")
        return None
    try:
        return tf.load_op_library(str(path()))
    except (tf.errors.OpError, OSError) as error:
        reason = str(error).splitlines()[0]
        print(f"train: {path().name} cannot be loaded ({reason}); remove it, and `make setup` compiles it again")
        return None


def in_use() -> str | None:
    """A hash of the loaded library, which decides the last bits of the weights; None if there is none.

    Of its bytes, not of its source: compilers differ.
    """
    return sha256(path())[:16] if load() else None


def compile_library() -> str | None:
    """Compiles the library, unless that has been done and the file is whole.

    Returns:
        Why there is no library, as a clause, or None if there is one.
    """
    if os.environ.get(SWITCH) != "0" and unavailable() in MENDED_BY_SETUP:
        try:
            return _compile(path())
        except OSError as error:  # such as an environment that may not be written, or a full disk
            return f"{path().parent} cannot be written ({error.strerror})"
    return unavailable()


def _compile(target: Path) -> str | None:
    wanted = os.environ.get("CXX")
    compiler = shutil.which(wanted or "g++")
    if compiler is None:
        return f"CXX is {wanted!r}, which is not the name of a program" if wanted else "there is no C++ compiler (g++)"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        partial, update = Path(folder) / target.name, Path(folder) / "update.o"
        command = [compiler, *OPTIONS, *(instructions() or ())]
        operations = [str(one) for one in SOURCES if one.suffix == ".cc" and one != _UPDATE]
        why = _run([*command, *UPDATE_OPTIONS, "-c", str(_UPDATE), "-o", str(update)]) or _run(
            [*command, "-shared", *operations, str(update), "-o", str(partial), *_tensorflow_flags()]
        )
        if why is None and not (update.exists() and partial.exists()):
            why = f"{compiler} ended without an error and wrote no file"
        if why is None:
            code = partial.read_bytes()
            partial.write_bytes(code + hashlib.sha256(code).digest())
            partial.replace(target)
    return why


def _is_whole(content: bytes) -> bool:
    return content[-_DIGEST:] == hashlib.sha256(content[:-_DIGEST]).digest()


def _run(command: list[str]) -> str | None:
    """Runs the compiler; returns why it failed, or None."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} cannot be run ({error})"
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    failure = next((line for line in lines if "error:" in line), "it gave no reason")
    return f"{command[0]} failed: {failure}" if done.returncode else None


def _tensorflow_flags() -> list[str]:
    """Where the headers and libraries of the installed TensorFlow are."""
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    import tensorflow as tf

    return [*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags()]


def instructions() -> tuple[str, ...] | None:
    """Options of the compiler for this processor; None if it is older than AVX2 or of another kind."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    flags = cpu_flags()
    return next((options for options, needed in _LEVELS if needed <= flags), None)


def main() -> int:
    """Compiles the library and says in one line if there is none; returns 0, because training works without it."""
    why = compile_library()
    if why:
        print(f"Training will use TensorFlow's own operations, which are slower, because {why}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
