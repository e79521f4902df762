"""Texts from users are never interpreted: as class names, file names, parameters, experiment names and in error messages."""

import contextlib
import csv
import datetime
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from flows.checkout import experiment_name
from flows.overrides import apply_overrides, parse, value
from resnet.core.errors import UserError, printable
from tasks.stage.graph import DVC_YAML, read_graph
from tests.hostile.texts import TEXTS
from tests.imports import ROOT
from tests.pictures import picture

EACH = 12  # images of a class


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `ingest` and `preprocess`, on a table in which every text is the name of a class and of files."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text("utf-8").replace("source: builtin/digits", "source: list.csv")
    )
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"))
    for name in ("images", "data"):
        (folder / name).mkdir()
    (folder / "data/decisions.csv").write_text((ROOT / "data/decisions.csv").read_text("utf-8"))
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for number, text in enumerate(TEXTS):
            for each in range(EACH):
                stem = re.sub(r"[/\0\r]", "_", text)[:60] or "x"
                name = f"images/{number}-{each}-{stem}.png"
                (folder / name).write_bytes(picture(number * EACH + each, size=(8, 8)))
                writer.writerow([name, text])
    for stage in ("ingest", "preprocess"):
        run(folder, "-m", f"tasks.{stage}")
    return folder


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "MPLCONFIGDIR": str(folder)}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(autouse=True)
def _text(request: pytest.FixtureRequest) -> None:
    """Adds the text to the report of a test; `make soak` counts the texts with failures."""
    if "text" in request.fixturenames:
        request.node.user_properties.append(("text", request.getfixturevalue("text")))


def test_there_are_at_least_sixty_texts() -> None:
    assert len(set(TEXTS)) >= 60


def test_class_names_reach_the_prepared_data_unchanged(prepared: Path) -> None:
    for path in ("data/raw/classes.json", "data/prepared/classes.json"):
        assert sorted(json.loads((prepared / path).read_text("utf-8"))) == sorted(TEXTS)
    with (prepared / "data/prepared/index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(TEXTS)
    assert len(rows) == EACH * len(TEXTS)
    assert not list(prepared.rglob("touched"))
    assert not (prepared.parent / "touched").exists()


class _Page(html.parser.HTMLParser):
    """Parses a page as a browser does: its tags, event handlers and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        links = {"href", "src", "action", "xlink:href", "style"}
        self.handlers += [
            name for name, text in attrs if name.startswith("on") or (name in links and "script:" in (text or ""))
        ]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def rendered(prepared: Path) -> Path:
    """The same project after `render`."""
    write_results(prepared)
    run(prepared, "-m", "tasks.render")
    return prepared


def test_pages_show_class_names_as_text(rendered: Path) -> None:
    for name in ("index.html", "data.html"):
        page = _Page()
        page.feed((rendered / "reports" / name).read_text("utf-8"))
        assert page.tags & {"script", "iframe", "svg", "object", "embed", "link", "base", "form"} <= {"svg"}  # the diagrams
        assert page.handlers == []
        shown = " ".join("".join(page.text).split())
        # The data report shows characters that are not printable as escapes.
        missing = [text for text in TEXTS if text.isprintable() and " ".join(text.split()) not in shown and len(text) < 100]
        assert missing == [], name
        assert "49" not in [word for word in shown.split() if "7*7" in word]
    assert not list(rendered.rglob("touched"))


def test_the_card_and_the_description_of_the_data_hold_class_names_as_text(rendered: Path) -> None:
    card = ModelCard.load(rendered / "reports/model_card.md")
    assert card.data.pipeline_tag == "image-classification"
    assert card.text.startswith(f"\n# Model card: a ResNet for {len(TEXTS)} classes\n")
    described = json.loads((rendered / "data/croissant.json").read_text("utf-8"))
    classes = described["recordSet"][1]["data"]
    names = json.loads((rendered / "data/raw/classes.json").read_text("utf-8"))
    assert [(one["classes/label"], one["classes/name"]) for one in classes] == list(enumerate(names))
    assert sorted(names) == sorted(TEXTS)


def write_results(folder: Path) -> None:
    """Writes files as `train` and `evaluate` do; every test image is predicted as the class of the next one."""
    reports = folder / "reports"
    reports.mkdir(exist_ok=True)
    with (folder / "data/prepared/index.csv").open(encoding="utf-8", newline="") as file:
        test = [row for row in csv.DictReader(file) if row["split"] == "test"]
    with (reports / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "predicted", "probability", "label_probability"])
        for row, other in zip(test, [*test[1:], test[0]], strict=True):
            writer.writerow([row["path"], row["label"], other["label"], "0.9", "0.1"])
    (reports / "history.csv").write_text("epoch,loss,accuracy,val_loss,val_accuracy,learning_rate\n1,2,0.5,2,0.4,0.01\n")
    figures = {
        "accuracy": 0.5,
        "accuracy_low": 0.1,
        "accuracy_high": 0.9,
        "macro_f1": 0.5,
        "calibration_error": 0.1,
        "calibration_error_by_chance": 0.5,
        "calibration_error_before": 0.2,
        "loss_before": 1.1,
        "loss": 1.0,
    }
    (reports / "metrics.json").write_text(json.dumps(figures))
    provenance = {"model_md5": "0a", "model_sha256": "0b", "saved_by_keras": "3", "precision": "float32", "versions": {}}
    details = {"images": len(test), "classes": 2, "macro_f1_classes": 2}
    network = {"input_shape": [8, 8, 3], "depth": 50, "variant": "v1.5"}
    evaluation = reports / "evaluation"
    evaluation.mkdir(exist_ok=True)
    (evaluation / "details.json").write_text(json.dumps(details | {"network": network, "provenance": provenance}))
    (evaluation / "gate.json").write_text('{"passed": true, "checks": []}')
    classes = json.loads((folder / "data/prepared/classes.json").read_text("utf-8"))
    with (evaluation / "per_class.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "support", "predicted", "precision", "recall", "recall_low", "recall_high", "f1"])
        writer.writerows([label, 1, 1, 0.5, 0.5, 0.1, 0.9, 0.5] for label in classes)
    header = "above,up_to,images,confidence,accuracy,accuracy_low,accuracy_high"
    for name in ("calibration.csv", "uncalibrated.csv"):
        (evaluation / name).write_text(f"{header}\n0.0,1.0,2,0.85,0.5,0.1,0.9\n")
    (reports / "model_summary.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    rows = np.arange(min(32, len(test)))
    pictures, fall = np.zeros((len(rows), 8, 8, 3), np.uint8), np.zeros((len(rows), 8, 8), np.float32)
    np.savez(evaluation / "samples.npz", rows=rows, images=pictures, fall=fall, lowest=np.full(len(rows), 0.5))


@pytest.mark.parametrize("text", TEXTS)
def test_an_override_changes_only_the_value_of_its_parameter(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text("utf-8"), encoding="utf-8")
    before = YAML(typ="safe").load(path)
    apply_overrides(path, {"ingest.source": text})
    after = YAML(typ="safe").load(path)
    assert after["ingest"].pop("source") == text
    before["ingest"].pop("source")
    assert after == before
    with contextlib.suppress(UserError):  # some texts are not YAML
        assert type(value(text)) in (str, int, float, bool, list, dict, datetime.date, type(None))
    assert parse([f"ingest.source={json.dumps(text, ensure_ascii=False)}"]) == {"ingest.source": text}


@pytest.mark.parametrize("text", TEXTS)
def test_an_experiment_name_is_valid_in_git(text: str) -> None:
    name = experiment_name(text, "")
    assert re.fullmatch(r"\w([\w.-]{0,98}\w)?", name, re.ASCII)
    subprocess.run(["git", "check-ref-format", f"refs/exps/00/11/{name}"], check=True)


@pytest.mark.parametrize("text", TEXTS)
def test_an_error_message_has_no_control_characters(text: str) -> None:
    shown = str(UserError(f"the class {text} is not there."))
    assert shown.isprintable()
    assert printable(text).isprintable()
    if text.isprintable():
        assert text in shown


def test_parameters_never_reach_a_shell_command() -> None:
    for stage, entry in read_graph(ROOT / DVC_YAML).items():
        assert entry["cmd"] == f"exec python -m tasks.{stage}"
        assert "$" not in entry["cmd"]
