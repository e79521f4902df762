"""`params.yaml`: which values are accepted, and the messages about all others."""

import re
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tasks.stage.graph import read_graph
from tasks.stage.params import SEED_DESCRIPTION, Params, load_params
from tasks.train import Train
from tests.imports import ROOT

STAGES = read_graph(ROOT / "dvc.yaml")
FILE = (ROOT / "params.yaml").read_text("utf-8")


def with_values(text: str, **values: str) -> str:
    """A text with other values for these parameters."""
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^( *{name}:)[^#\n]*", rf"\1 {value} ", text)
        assert count >= 1, name
    return text


# The file of the project with the values that the sentences below mention, in case a user has changed them.
TEXT = with_values(
    FILE,
    seed="0",
    source="builtin/digits",
    validation_share="0.1",
    test_share="0.2",
    epochs="10",
    warmup_epochs="1",
    flip="false",
    batch_size="32",
    weights="builtin/random",
)


def load(folder: Path, text: str) -> Params:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path, STAGES)


def changed(name: str, value: str) -> str:
    return with_values(TEXT, **{name: value})


def test_the_file_of_the_project_is_valid() -> None:
    params = load_params(ROOT / "params.yaml", STAGES)
    assert list(params.sections) == list(STAGES)
    assert params.seed >= 0


def test_it_is_short_and_every_parameter_has_a_comment() -> None:
    parameters = [line for line in FILE.splitlines() if re.match(r" *\w+: *\S", line)]
    assert 20 <= len(parameters) <= 64  # each part of the recipe is one
    uncommented = [line for line in parameters if "#" not in line]
    assert [line.split(":")[0].strip() for line in uncommented] == []


def test_comments_and_descriptions_are_the_same_text() -> None:
    found, section = {}, ""
    for line in FILE.splitlines():
        if match := re.fullmatch(r"(\w+):", line):
            section = f"{match[1]}."
        elif match := re.fullmatch(r" *(\w+): .*?  # (.+)", line):
            found[f"{section}{match[1]}"] = match[2]
    params = load_params(ROOT / "params.yaml", STAGES)
    expected = {"seed": SEED_DESCRIPTION} | {
        f"{stage}.{name}": field.description
        for stage, values in params.sections.items()
        for name, field in type(values).model_fields.items()
    }
    assert found == expected


def test_one_parameter_can_be_read_by_name_and_type(tmp_path: Path) -> None:
    params = load(tmp_path, TEXT)
    assert params.value("build.weights", str) == "builtin/random"
    assert params.value("train.epochs", int) == 10
    with pytest.raises(TypeError, match="train.epochs is a int, not a str"):
        params.value("train.epochs", str)
    for name in ("train.epoch", "trian.epochs", "train.model_fields"):
        with pytest.raises(LookupError):
            params.value(name, int)


def test_a_section_can_be_read_by_class(tmp_path: Path) -> None:
    params = load(tmp_path, TEXT)
    assert params.section(Train).epochs == 10
    with pytest.raises(LookupError, match="no section Train"):
        Params(0, {}).section(Train)


@pytest.mark.parametrize("number", ["1e-3", "1e-03", "0.001", "1.0e-3"])
def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path, number: str) -> None:
    params = load(tmp_path, changed("learning_rate", number))
    assert params.sections["train"].model_dump()["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (changed("epochs", "0"), "train.epochs should be greater than or equal to 1, but it is 0."),
        (changed("epochs", "ten"), "train.epochs should be a valid integer, but it is 'ten'."),
        (changed("epochs", "2.5"), "train.epochs should be a valid integer, but it is 2.5."),
        (changed("learning_rate", "-1"), "train.learning_rate should be greater than 0, but it is -1"),
        (changed("learning_rate", ".nan"), "train.learning_rate should be a finite number, but it is nan."),
        (changed("flip", "1"), "train.flip should be a valid boolean, but it is 1."),
        (changed("image_size", "7"), "preprocess.image_size should be greater than or equal to 8, but it is 7."),
        (changed("optimizer", "adma"), "train.optimizer should be 'adam', 'adamw' or 'sgd', but it is 'adma'."),
        (changed("variant", "v2"), "build.variant should be 'v1', 'v1.5' or 'D', but it is 'v2'."),
        (changed("depth", "20"), "build.depth should be 18, 34, 50, 101 or 152, but it is 20."),
        (changed("blocks", "[3, 0]"), "build.blocks.1 should be greater than or equal to 1, but it is 0."),
        (changed("on_bad", "stop"), "ingest.on_bad should be 'quarantine' or 'fail', but it is 'stop'."),
        (changed("seed", "-1"), "seed must be a whole number from 0 to 2147483647, but it is -1."),
        (changed("seed", "2147483648"), "seed must be a whole number from 0 to 2147483647, but it is 2147483648."),
        (changed("seed", "1.5"), "seed must be a whole number from 0 to 2147483647, but it is 1.5."),
        (changed("weights", "builtin/imagenet"), "builtin/imagenet, which exists for build.variant v1, build.depth 50, 101 or"),
        (changed("seed", "true"), "seed must be a whole number from 0 to 2147483647, but it is True."),
        (TEXT.replace("\n  epochs:", "\n  epoch:"), "there is no parameter train.epoch; did you mean train.epochs?"),
        (TEXT.replace("\ntrain:", "\ntrian:"), "there is no parameter trian; did you mean train?"),
        (TEXT.replace("\nseed:", "\nsed:"), "there is no parameter sed; did you mean seed?"),
        (
            TEXT.replace("\n  dpi:", "\n  zzzzzzzz:"),
            "there is no parameter render.zzzzzzzz; known are dpi, license, ",
        ),
        (re.sub(r"(?m)^  dpi.*\n", "", TEXT), "parameter render.dpi is missing; add it."),
        (re.sub(r"(?m)^seed.*\n", "", TEXT), "parameter seed is missing; add it."),
        (re.sub(r"(?s)  dpi.*", "", TEXT), "render must be a mapping of dpi, license, data_name, data_license, data_cit"),
        ("", "the file must be a mapping of seed, ingest, preprocess, build, train, evaluate, render, but it is None."),
        (changed("crop", "0"), "train.crop should be greater than 0, but it is 0"),
        (changed("balance", "yes"), "train.balance should be 'none', 'weights' or 'sampling', but it is 'yes'."),
        (TEXT.replace("\n  balance:", "\n  class_weights:"), "no parameter train.class_weights; did you mean train.balance?"),
        (changed("learning_rate", "fast"), "train.learning_rate should be a valid number or 'auto', but it is 'fast'."),
        (changed("flip", "both"), "train.flip should be a valid boolean or 'alternate', but it is 'both'."),
        (changed("size_schedule", "[0, 32]"), "train.size_schedule.0 should be greater than or equal to 8, but it is 0."),
        (changed("size_schedule", "[32, 64]"), "train.size_schedule has 64 pixels, but the training images have 32"),
        (changed("mirror", "true"), "evaluate.mirror is true, but the mirror image of a digit is not the same digit"),
        (changed("training_size", "16"), "preprocess.training_size is 16, which is below preprocess.image_size, 32"),
        (
            changed("accumulate", "5"),
            "train.batch_size is 32, which cannot be divided into train.devices x train.accumulate = 1 x 5 equal parts",
        ),
        (changed("accumulate", "many"), "train.accumulate should be a valid integer or 'auto', but it is 'many'."),
        (
            changed("freeze_epochs", "2"),
            "is 2, but build.weights is builtin/random, so the frozen layers would not have learned anything",
        ),
        (
            with_values(TEXT, weights="a.keras", freeze_epochs="10"),
            "train.freeze_epochs is 10 and must be less than train.epochs, which is 10, so that the whole",
        ),
        (
            with_values(TEXT, restarts="[5]", budget_minutes="3"),
            "train.restarts is [5] and train.budget_minutes 3, but the phases of a run with restarts have a fixed",
        ),
        (changed("flip", "true"), "train.flip is true, but the mirror image of a digit"),
        (changed("epochs", "2026-13-45"), "not valid YAML (month must be in 1..12); correct the file."),
        (changed("epochs", "!!int ten"), "not valid YAML (invalid literal for int"),
        (changed("test_share", "0.9"), "preprocess.validation_share and test_share add up to 1, which leaves no images"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert sentence in message
    assert message.startswith(f"{tmp_path / 'params.yaml'}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "1"),  # the default warm-up is one epoch, too
        ("restarts", "[1]"),
        ("warmup_epochs", "10"),
        ("budget_minutes", "0.5"),
        ("batch_size", "48"),
        ("image_size", "28"),
        ("depth", "18"),
        ("stem", "small"),
        ("variant", "D"),
        ("optimizer", "sgd"),
        ("patience", "3"),
        ("ema", "0.999"),
    ],
)
def test_a_single_change_of_the_defaults_is_accepted(tmp_path: Path, name: str, value: str) -> None:
    load(tmp_path, re.sub(rf"(?m)^(  {name}:) *\S+", rf"\1 {value} ", FILE, count=1))


def test_whole_numbers_may_have_a_decimal_point(tmp_path: Path) -> None:
    params = load(tmp_path, with_values(TEXT, seed="3.0", epochs="20.0", restarts="[10.0]", depth="18.0", warmup_epochs="2"))
    assert repr((params.seed, params.value("train.epochs", int), params.value("build.depth", int))) == "(3, 20, 18)"
    assert repr(params.value("train.restarts", list)) == "[10]"
    assert repr(params.value("train.warmup_epochs", float)) == "2.0"


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    broken = TEXT.splitlines()
    number = next(index for index, line in enumerate(broken) if "blocks:" in line)
    broken[number] = "  blocks: [3, 4"
    with pytest.raises(
        UserError,
        match=rf"params\.yaml, line {number + 2}, column 8: not valid YAML: expected a comma or the closing bracket, but the "
        rf"parser reports: .+ begins in line {number + 1}; correct the line\.$",
    ):
        load(tmp_path, "\n".join(broken))


def test_a_parameter_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid YAML.*duplicate key"):
        load(tmp_path, TEXT + "seed: 1\n")


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"params\.yaml cannot be read \(Is a directory\)"):
        load_params(tmp_path / "params.yaml", STAGES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is missing"):
        load_params(tmp_path / "params.yaml", STAGES)


@pytest.mark.parametrize("value", ["&a [*a]", "[" * 3000])
def test_values_that_are_nested_without_end_are_refused_in_one_sentence(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match="nested too deeply, or contain themselves|not valid YAML|expected"):
        load(tmp_path, changed("restarts", value))


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience", "accumulate", "split_seed", "max_pixels"])
def test_a_count_beyond_reason_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name} should be less than"):
        load(tmp_path, changed(name, "1.0e+25"))
