"""Which precision is chosen for which hardware, and how Keras is set to it."""

import keras
import pytest

from resnet.network.precision import PRECISIONS, choose_precision, dtype_policy, fastest_precision


@pytest.mark.parametrize(
    ("capabilities", "flags", "precision", "reason"),
    [
        ([], {"amx_bf16", "avx512_bf16"}, "bfloat16", "the processor has AMX-BF16"),
        ([], {"avx512_bf16", "avx2"}, "bfloat16", "the processor has AVX512-BF16"),
        ([], {"avx2", "avx512f"}, "float32", "neither AMX-BF16 nor AVX512-BF16"),
        ([(8, 0)], set(), "bfloat16", "compute capability 8.0"),
        ([(7, 5)], {"amx_bf16"}, "float16", "compute capability 7.5"),
        ([(6, 1)], {"amx_bf16"}, "float32", "compute capability 6.1"),
        ([(9, 0), (7, 0)], set(), "float16", "compute capability 7.0"),
    ],
)
def test_auto_takes_what_the_hardware_computes_fastest(
    capabilities: list[tuple[int, int]], flags: set[str], precision: str, reason: str
) -> None:
    chosen, why = fastest_precision(capabilities, flags)
    assert chosen == precision
    assert reason in why


def test_a_precision_that_is_named_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_precision("float16") == "float16"
    assert capsys.readouterr().out == "precision: float16, as train.precision says\n"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_compute_in_the_precision_and_keep_float32_weights(precision: str) -> None:
    with pytest.raises(ZeroDivisionError), dtype_policy(precision):
        layer = keras.layers.Dense(2)
        raise ZeroDivisionError
    assert (layer.compute_dtype, layer.variable_dtype) == (precision, "float32")
    assert keras.config.dtype_policy().name == "float32"  # as before, also after an error
