"""Which engine and precision predictions are computed in."""

import sys
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.prediction import engines
from resnet.prediction.engines import choose_engine


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with AVX512-BF16, no GPU, and OpenVINO."""
    monkeypatch.setattr(engines, "cpu_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)


@pytest.mark.parametrize(
    ("wanted", "precision", "engine", "computed"),
    [
        ("auto", "auto", "openvino", "bfloat16"),
        ("auto", "float32", "openvino", "float32"),
        ("auto", "float16", "tensorflow", "float16"),
        ("openvino", "auto", "openvino", "bfloat16"),
        ("tensorflow", "auto", "tensorflow", "auto"),
    ],
)
def test_openvino_computes_if_it_can(wanted: str, precision: str, engine: str, computed: str) -> None:
    choice = choose_engine(wanted, precision)
    assert (choice.engine, choice.precision) == (engine, computed)


def test_without_bfloat16_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "cpu_flags", lambda: {"avx2"})
    choice = choose_engine("auto", "auto")
    assert (choice.engine, choice.precision) == ("openvino", "float32")
    assert choice.why_precision == "the processor has neither AMX-BF16 nor AVX512-BF16"
    assert choose_engine("auto", "bfloat16").engine == "tensorflow"
    with pytest.raises(UserError, match="would compute in float32 instead of bfloat16 on this processor: choose another"):
        choose_engine("openvino", "bfloat16")


def test_a_gpu_belongs_to_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_has_gpu", lambda: True)
    assert choose_engine("auto", "auto").engine == "tensorflow"
    assert choose_engine("openvino", "auto").engine == "openvino"


def test_without_openvino_auto_is_tensorflow_and_asking_for_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    monkeypatch.setattr("resnet.openvino.runtime.find_spec", lambda _: None)
    assert choose_engine("auto", "auto").engine == "tensorflow"
    with pytest.raises(UserError, match=r"openvino is not installed: run pip install 'train-resnet\[openvino\]'"):
        choose_engine("openvino", "auto")
    with pytest.raises(UserError, match="does not compute in float16"):
        monkeypatch.undo()
        choose_engine("openvino", "float16")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("raise ImportError('libopenvino.so: no such file')", "ImportError"),
        ("raise RuntimeError('wrong machine\\nmore')", "RuntimeError"),
    ],
)
def test_a_broken_openvino_leaves_the_work_to_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: str
) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)

    choice = choose_engine("auto", "auto")

    assert (choice.engine, choice.reason) == ("tensorflow", f"OpenVINO cannot be imported ({kind})")
    with pytest.raises(
        UserError, match=rf"^openvino is installed and cannot be imported \({kind}: .*\): run pip install [^\n]*$"
    ):
        choose_engine("openvino", "auto")
