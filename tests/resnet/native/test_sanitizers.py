"""A short version of `tests/soak/sanitized_kernels.py`."""

from pathlib import Path

import pytest

from resnet.native.library import instructions
from tests.soak.sanitized_kernels import SANITIZERS, compiled, compiler, holds


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler (g++)")
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_random_shapes_give_the_same_bits_on_any_number_of_threads_and_no_report(sanitizer: str, tmp_path: Path) -> None:
    shapes = {"thread": 8}.get(sanitizer, 20)  # four times as slow as the other one
    assert holds(compiled(tmp_path, sanitizer, ["-O0", *(instructions() or ())]), seed=1, shapes=shapes)
