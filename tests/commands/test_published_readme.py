"""The section of a published README about its folder."""

import ast
import math
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands.publish import _write_facts
from commands.published_readme import Revision, folder_section
from resnet.export.formats import FORMATS
from resnet.network.archive import read_model_facts
from resnet.network.model import ResNet
from resnet.network.saving import save_model

FILES = ["resnet.keras", "classes.json", "README.md", "SHA256SUMS", "strange|file.txt"]


def test_every_file_is_in_the_table() -> None:
    lines = folder_section(FILES, ["resnet.onnx", "of-somebody.bin"], Revision("a" * 40)).splitlines()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    expected = ["README.md", "resnet.keras", "classes.json", "exports/resnet.onnx", "SHA256SUMS"]
    assert rows == [*expected, "exports/of-somebody.bin", "strange\\|file.txt"]
    assert f"It was published from commit `{'a' * 40}` of the project. `dvc repro` makes the results again there." in lines


@pytest.mark.parametrize(
    ("exports", "names"),
    [([], []), (["resnet.keras"], ["keras"]), (["resnet.onnx"], ["onnxruntime"]), (["resnet-savedmodel"], [])],
)
def test_programs_are_shown_for_the_exports_that_exist(exports: list[str], names: list[str]) -> None:
    text = folder_section(FILES, exports, Revision(None))
    assert "    train-resnet predict --model resnet.keras photo.jpg\n" in text
    assert [name for name in ("keras", "onnxruntime") if f"    import {name}\n" in text] == names
    program = "\n".join(re.findall(r"(?m)^    ((?!train-resnet).*)$", text))
    compile(program, "README.md", "exec")


def test_changes_and_a_missing_repository_are_named() -> None:
    changed = folder_section(FILES, [], Revision("a" * 40, [f" M {number}.py" for number in range(23)]))
    assert "**These files had uncommitted changes**" in changed
    assert "\n     M 0.py\n" in changed
    assert changed.count(".py\n") == 20
    assert "\n    and 3 more\n" in changed
    assert "uncommitted" not in folder_section(FILES, [], Revision("a" * 40))
    assert "without a commit of a Git repository" in folder_section(FILES, [], Revision(None))


def programs(text: str) -> list[str]:
    """The Python programs in a page."""
    blocks = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", text)
    return [textwrap.dedent(block) for block in blocks if "import json" in block]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the programs end soon, so they leave files open
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_programs_print_the_classes_of_a_photograph(
    multi_label: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names, logits = ["cat", "dog", "owl"], [2.0, -1.0, 1.0]
    made = ResNet((32, 32, 3), 3, blocks=(1,), width=4, class_names=names, multi_label=multi_label)
    made.get_layer("predictions").set_weights([np.zeros((16, 3), np.float32), np.array(logits, np.float32)])
    if multi_label:
        made.decide_by([0.5, 0.25, 0.75])  # of the probabilities 0.88, 0.27 and 0.73
    monkeypatch.chdir(tmp_path)
    Path("exports").mkdir()
    for name in ("keras", "onnx"):
        FORMATS[name].write(made, Path("exports", f"resnet{FORMATS[name].suffix}"))
    save_model(made, tmp_path / "resnet.keras")
    _write_facts(read_model_facts(tmp_path / "resnet.keras"), tmp_path / "classes.json")
    Image.new("RGB", (40, 31), (200, 30, 30)).save("photo.jpg")
    files = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".json")
    assert files == ["classes.json", *(["thresholds.json"] if multi_label else [])]
    section = folder_section(FILES, ["resnet.keras", "resnet.onnx"], Revision(None), multi_label=multi_label)
    found = programs(section)
    assert len(found) == 2
    for program in found:
        exec(program, {})
        text = capsys.readouterr().out
        if multi_label:
            shown = ast.literal_eval(text)
            assert list(shown) == ["cat", "dog"]
            assert list(shown.values()) == pytest.approx([1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(1.0))], abs=1e-5)
        else:
            label, share = text.split()
            total = sum(math.exp(logit) for logit in logits)
            assert label == "cat"
            assert float(share) == pytest.approx(math.exp(2.0) / total, abs=1e-5)


def test_a_folder_of_several_labels_says_when_an_image_has_a_class() -> None:
    text = folder_section([*FILES, "thresholds.json"], [], Revision(None), multi_label=True)
    assert "\n| thresholds.json | the probability of each class from which on an image has it, in the order of `cl" in text
    assert "it has those whose probability is at least their threshold" in text
    assert "known_score" not in text
    assert "threshold" not in folder_section(FILES, [], Revision(None))
