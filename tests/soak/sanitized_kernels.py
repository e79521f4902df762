"""The arithmetic of `resnet/native` under the compiler's sanitizers, on 1, 2, 3 and 7 threads: rows of `docs/survival.md`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from resnet.native import library
from tests.imports import ROOT
from tests.soak.trials import Trial, main

# What they find: accesses outside of arrays and undefined behaviour, and two threads at the same memory.
SANITIZERS = ("address,undefined", "thread")
SHAPES = 40  # of a trial
_SOURCES = (ROOT / "tests" / "soak" / "sanitized_kernels.cc", library.SOURCES[0].with_name("update.cc"))
_EXPECTED = "no report, equal bits on any number of threads, close to float64"


def compiler() -> str | None:
    """The C++ compiler, or None if there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")


def compiled(folder: Path, sanitizer: str, options: Sequence[str]) -> Path:
    """Compiles the program in a folder with a sanitizer and returns its path."""
    program = folder / sanitizer.partition(",")[0]
    flags = [*options, "-std=c++17", "-g", "-pthread", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    subprocess.run([str(compiler()), *flags, *map(str, _SOURCES), "-o", str(program)], check=True)
    return program


def holds(program: Path, seed: int, shapes: int = SHAPES) -> bool:
    """Whether the program ends well for some random shapes."""
    return subprocess.run([str(program), str(seed), str(shapes)], check=False).returncode == 0


def _row(sanitizer: str) -> Trial:
    def run(trials: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            options = (*library.OPTIONS, *(library.instructions() or ()))  # as for training
            program = compiled(Path(folder), sanitizer, options)
            return sum(holds(program, seed) for seed in range(trials))

    return Trial(f"fused kernels under -fsanitize={sanitizer}, {SHAPES} random shapes each", 20, _EXPECTED, run)


ROWS = [_row(sanitizer) for sanitizer in SANITIZERS]

if __name__ == "__main__":
    sys.exit(main(ROWS))
