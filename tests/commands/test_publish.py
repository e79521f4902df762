"""The folder to hand to somebody: it is complete, works without the project, and nothing wrong gets into it."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.testing import Result

from commands import publish as publish_module
from commands.export_record import record_export
from resnet.network.archive import ModelFacts, read_model_facts
from tests.imports import ROOT
from tests.pictures import picture
from tests.project import Project

FILES = {
    *("README.md", "SHA256SUMS", "classes.json", "croissant.json", "data.html", "dvc.lock", "index.html", "metrics.json"),
    *("params.yaml", "requirements.lock", "resnet.keras"),
}


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project without exports, which is the current folder; each test leaves the rest as it was."""
    shutil.rmtree(project.folder / "exports", ignore_errors=True)
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", project.environment["DVC_SITE_CACHE_DIR"])
    return project


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_works_without_the_project(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("publish", str(tmp_path / "out"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(rf"publish: {tmp_path}/out has 11 files, \d+\.\d MB; exports: none; --to makes them\n", result.stdout)
    (tmp_path / "out").rename(tmp_path / "received")
    received, home = tmp_path / "received", tmp_path / "home"
    home.mkdir()
    assert contents(received).keys() == FILES
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=received, capture_output=True, text=True, check=True)
    assert sums.stdout.count(": OK\n") == len(FILES) - 1
    (home / "photo.png").write_bytes(picture(0))
    command = [sys.executable, "-m", "commands", "predict", "--model", str(received / "resnet.keras"), "photo.png", "--json"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["predictions"][0]["label"] in json.loads((received / "classes.json").read_text("utf-8"))


def test_the_readme_is_a_card_of_the_hub(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("publish", str(tmp_path / "out")).exit_code == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.eval_results is not None
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert card.data.eval_results[0].metric_value == metrics["accuracy"]
    commit = here.run("git", "rev-parse", "HEAD").stdout.strip()
    assert f"published from commit `{commit}`" in card.text
    assert "uncommitted" not in card.text
    for name in FILES:
        assert f"| {name} |" in card.text.replace("\\_", "_")


def test_thresholds_are_beside_the_class_names(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    def facts(path: Path) -> ModelFacts:
        """As if the network of the project were one for several labels an image."""
        one = read_model_facts(path)
        shares = [0.25] + [0.5] * (len(one.class_names) - 1)
        return dataclasses.replace(one, config=one.config | {"multi_label": True, "thresholds": shares})

    monkeypatch.setattr(publish_module, "read_model_facts", facts)
    assert train_resnet("publish", str(tmp_path / "out")).exit_code == 0
    assert contents(tmp_path / "out").keys() == FILES | {"thresholds.json"}
    names, shares = (json.loads((tmp_path / "out" / f"{name}.json").read_text("utf-8")) for name in ("classes", "thresholds"))
    assert (len(shares), shares[:2]) == (len(names), [0.25, 0.5])
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "\n| thresholds.json | the probability of each class from which on an image has it, " in text
    assert "An image may have any number of the classes, or none: " in text
    assert train_resnet("publish", str(tmp_path / "out"), "--force").exit_code == 0


def test_all_links_of_the_pages_lead_to_a_file(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("publish", str(tmp_path / "out")).exit_code == 0
    for page in ("index.html", "data.html"):
        text = (tmp_path / "out" / page).read_text("utf-8")
        links = {link.partition("#")[0] for link in re.findall(r'(?:src|href)="([^":]*)"', text)}
        assert [link for link in links if not (tmp_path / "out" / link).exists()] == []


def test_a_commit_gives_the_same_bytes(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    assert train_resnet("publish", str(tmp_path / "first")).exit_code == 0
    (tmp_path / "second").mkdir()  # an empty folder may be there
    assert train_resnet("publish", str(tmp_path / "second")).exit_code == 0
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_only_what_publish_wrote_is_replaced(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    out = tmp_path / "out"
    assert train_resnet("publish", str(out)).exit_code == 0
    before = contents(out)
    refused = train_resnet("publish", str(out))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"publish: {out} exists and is not empty, but a new or an empty folder was expected")
    for name, content in (("notes.txt", b"mine"), ("README.md", before["README.md"] + b"mine"), ("exports/x/y", b"")):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
        kept = train_resnet("publish", str(out), "--force")
        assert (kept.exit_code, kept.stderr) == (
            1,
            f"publish: {out} has {name}, which publish did not write: move it, or name another folder.\n",
        )
        if name in before:
            (out / name).write_bytes(before[name])
        else:
            (out / name).unlink()
    assert train_resnet("publish", str(out), "--force").exit_code == 0
    assert contents(out) == before


def test_another_folder_is_not_replaced(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "photos" / "SHA256SUMS").write_text(f"{digest}  a.png\n")
    result = train_resnet("publish", str(tmp_path / "photos"), "--force")
    assert result.exit_code == 1
    assert "photos has a.png, which publish did not write" in result.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("reports/evaluation/new", "is in reports/evaluation, which belongs to the pipeline"),
        ("params.yaml", "is a file, but a folder is to be written there"),
        (".", "exists and is not empty"),
        ("exports", "is in exports, where `train-resnet export` writes"),
        ("exports/new", "is in exports, where `train-resnet export` writes"),
        ("tasks/stage/pub", "is in tasks/stage, which belongs to the pipeline"),
        (".git/x", "is in .git, which belongs to the pipeline, Git or DVC"),
    ],
)
def test_a_place_that_is_wrong_is_refused(name: str, words: str, here: Project, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("publish", name)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert words in result.stderr


@pytest.mark.parametrize("name", ["models/resnet.keras", "reports/index.html", "reports/model_card.md", "reports/metrics.json"])
def test_a_damaged_result_is_named_and_nothing_is_written(
    name: str, here: Project, tmp_path: Path, train_resnet: Callable[..., Result]
) -> None:
    """The size and the time stay the same, as after a flipped bit, so that DVC itself does not notice."""
    path = here.folder / name
    before, status = path.read_bytes(), path.stat()
    path.chmod(0o644)
    path.write_bytes(before[:-20] + bytes([before[-20] ^ 1]) + before[-19:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        result = train_resnet("publish", str(tmp_path / "out"))
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"publish: {name} is not what dvc.lock records (MD5: ")
    assert "run `dvc repro`" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("params.yaml", "  epochs: 2", "  epochs: 3", "parameter train.epochs is 3 and was 2"),
        (
            "tasks/evaluate.py",
            "import sys",
            "import sys  # edited",
            "code in tasks/evaluate.py changed",
        ),
    ],
)
def test_results_of_other_inputs_are_refused(
    name: str, old: str, new: str, words: str, here: Project, tmp_path: Path, train_resnet: Callable[..., Result]
) -> None:
    path = here.folder / name
    before = path.read_text("utf-8")
    assert old in before
    path.write_text(before.replace(old, new, 1), encoding="utf-8")
    try:
        result = train_resnet("publish", str(tmp_path / "out"))
    finally:
        path.write_text(before, encoding="utf-8")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    stage = "train" if name == "params.yaml" else "evaluate"
    start = f"publish: the results are not those of the present inputs: {stage} would run again, because {words}"
    assert result.stderr.startswith(start)
    assert "run `dvc repro`" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_clone_with_only_what_is_published_can_publish(
    here: Project, tmp_path: Path, train_resnet: Callable[..., Result]
) -> None:
    (here.folder / "data/raw").rename(here.folder / "data/elsewhere")
    try:
        assert train_resnet("publish", str(tmp_path / "out")).exit_code == 0
        (here.folder / "reports/index.html").rename(here.folder / "reports/elsewhere")
        result = train_resnet("publish", str(tmp_path / "more"))
        (here.folder / "reports/elsewhere").rename(here.folder / "reports/index.html")
    finally:
        (here.folder / "data/elsewhere").rename(here.folder / "data/raw")
    assert result.exit_code == 1
    assert result.stderr.startswith("publish: reports/index.html is missing: run `dvc pull`, or `dvc repro`, which makes")


def test_uncommitted_changes_are_named(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    note = here.folder / "note.txt"
    note.write_text("new")
    try:
        result = train_resnet("publish", "handed")
        again = train_resnet("publish", "handed", "--force")
        text = (here.folder / "handed/README.md").read_text("utf-8")
    finally:
        note.unlink()
        for path in sorted((here.folder / "handed").rglob("*"), reverse=True):
            path.unlink()
        (here.folder / "handed").rmdir()
    line = "publish: uncommitted changes: 1, such as note.txt; the README names them"  # the folder itself is none
    assert [one.stdout.splitlines()[-1] for one in (result, again)] == [line] * 2
    assert "\n    ?? note.txt\n" in text


def test_only_exports_of_this_model_are_handed_out(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    exports = here.folder / "exports"
    (exports / "resnet-savedmodel/variables").mkdir(parents=True)
    (exports / "resnet-savedmodel/variables/index").write_text("x")
    for name in ("resnet.onnx", "resnet.tflite", "unknown.onnx"):
        (exports / name).write_text(name)
    (tmp_path / "older.keras").write_text("older")
    record_export(exports / "resnet-savedmodel", here.folder / "models/resnet.keras")
    record_export(exports / "resnet.onnx", here.folder / "models/resnet.keras")
    record_export(exports / "resnet.tflite", tmp_path / "older.keras")
    result = train_resnet("publish", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert result.stderr == (
        "publish: exports/resnet.tflite is left out, because it is an export of another model\n"
        "publish: exports/unknown.onnx is left out, because it is not known of which model it is an export\n"
    )
    assert "; exports: resnet-savedmodel, resnet.onnx\n" in result.stdout
    found = contents(tmp_path / "out")
    assert {name for name in found if name.startswith("exports/")} == {
        "exports/resnet-savedmodel/variables/index",
        "exports/resnet.onnx",
    }
    assert found["SHA256SUMS"].count(b"  exports/") == 2


def test_exports_can_be_made_first(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    def export(formats: list[str]) -> None:
        assert formats == ["keras", "onnx"]
        Path("exports").mkdir(exist_ok=True)
        Path("exports/resnet.onnx").write_text("made")
        record_export(Path("exports/resnet.onnx"), Path("models/resnet.keras"))

    monkeypatch.setattr(publish_module, "export", export)
    assert train_resnet("publish", str(tmp_path / "out"), "--to", "keras,onnx").exit_code == 0
    assert (tmp_path / "out/exports/resnet.onnx").read_text("utf-8") == "made"


def test_a_file_that_is_missing_leaves_nothing_behind(
    here: Project, tmp_path: Path, train_resnet: Callable[..., Result]
) -> None:
    (here.folder / "requirements.lock").rename(here.folder / "elsewhere.lock")
    try:
        result = train_resnet("publish", str(tmp_path / "out"))
    finally:
        (here.folder / "elsewhere.lock").rename(here.folder / "requirements.lock")
    assert result.stderr == ("publish: requirements.lock is missing: `git checkout requirements.lock` restores it.\n")
    assert list(tmp_path.iterdir()) == []


def test_files_that_came_meanwhile_are_kept(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    def export(_: list[str]) -> None:
        (tmp_path / "out/thesis.txt").write_text("mine")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(publish_module, "export", export)
    result = train_resnet("publish", str(tmp_path / "out"), "--to", "keras")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "out exists and is not empty" in result.stderr
    assert contents(tmp_path) == {"out/thesis.txt": b"mine"}


def test_a_damaged_export_is_refused(here: Project, tmp_path: Path, train_resnet: Callable[..., Result]) -> None:
    (here.folder / "exports/resnet-savedmodel").mkdir(parents=True)
    (here.folder / "exports/resnet-savedmodel/a.pb").write_text("complete")
    record_export(here.folder / "exports/resnet-savedmodel", here.folder / "models/resnet.keras")
    (here.folder / "exports/resnet-savedmodel/a.pb").write_text("compl")
    result = train_resnet("publish", str(tmp_path / "out"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("publish: exports/resnet-savedmodel is not what `train-resnet export` wrote")
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_folder_is_no_pattern(here: Project, train_resnet: Callable[..., Result]) -> None:
    (here.folder / "README2.txt").write_text("new")
    try:
        result = train_resnet("publish", "R*")
    finally:
        (here.folder / "README2.txt").unlink()
        shutil.rmtree(here.folder / "R*")
    assert result.stdout.endswith("publish: uncommitted changes: 1, such as README2.txt; the README names them\n")


def test_places_that_cannot_be_replaced_are_one_sentence(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    result = train_resnet("publish", str(tmp_path / "loop"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "loop is a symbolic link that leads back to itself" in result.stderr
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    result = train_resnet("publish", str(tmp_path / "disk"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "disk is a mount point, which cannot be replaced" in result.stderr


def test_a_folder_that_appears_meanwhile_is_one_sentence(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    def fail(folder: Path) -> tuple[int, int]:
        raise FileNotFoundError(2, "No such file or directory", str(folder))

    monkeypatch.setattr(publish_module, "_write_sums", fail)
    result = train_resnet("publish", str(tmp_path / "out"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "out could not be written ([Errno 2] No such file or directory" in result.stderr


def test_a_folder_in_the_place_of_a_result_is_one_sentence(
    here: Project, tmp_path: Path, train_resnet: Callable[..., Result]
) -> None:
    page = here.folder / "reports/index.html"
    page.rename(page.with_name("elsewhere"))
    page.mkdir()
    try:
        result = train_resnet("publish", str(tmp_path / "out"))
    finally:
        page.rmdir()
        page.with_name("elsewhere").rename(page)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("publish: reports/index.html cannot be read (Is a directory)")


def test_the_files_of_another_folder_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("a file is read")

    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/a").write_text("large")
    monkeypatch.setattr(publish_module, "sha256", refuse)
    monkeypatch.setattr(Path, "rglob", refuse)
    assert publish_module._not_published(tmp_path) == "usr"
