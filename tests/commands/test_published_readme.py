"""The section of a published README about its folder."""

import re

import pytest

from commands.published_readme import Revision, folder_section

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
