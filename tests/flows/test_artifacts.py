"""The page with the results of a run in Prefect's UI."""

import base64
from pathlib import Path

import pytest

from flows import artifacts
from flows.artifacts import summary
from flows.results import Result

COMMIT = "0123456789abcdef"
SHOWN = f"{COMMIT}:params.yaml"
DVC_YAML = "stages:\n  draw:\n    cmd: draw\n    outs: [model]\n    plots: [loss.png]\n"
DVC_LOCK = "schema: '2.0'\nstages:\n  draw:\n    cmd: draw\n    outs:\n    - {path: model, md5: 0a1b}\n"


METRICS = {"accuracy": 0.991279, "accuracy_low": 0.98365, "accuracy_high": 0.99454, "loss": 0.1}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree whose commit has `epochs: 10`."""
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    (tmp_path / "params.yaml").write_text("ingest:\n  source: '````'\ntrain:\n  epochs: 3\n  flip: true\n")
    (tmp_path / "loss.png").write_bytes(b"\x89PNG curve")
    committed = "ingest:\n  source: '````'\ntrain:\n  epochs: 10\n  flip: true\n"
    monkeypatch.setattr(artifacts, "git_or_none", lambda folder, command, what: committed if what == SHOWN else None)
    return tmp_path


def page_of(root: Path, in_place: bool = False) -> str:
    return summary(root, Result("low-rate", METRICS, val_loss=0.2), COMMIT, in_place)


def test_it_begins_with_the_accuracy_and_what_differs_from_the_commit(root: Path) -> None:
    lines = [line for line in page_of(root).splitlines() if line]
    assert lines[0] == "# 99.1 % (98.4 to 99.5) of the test images are correct"
    assert lines[1].startswith("Experiment `low-rate` on commit `0123456789`.")
    at = lines.index("## What differs from the commit")
    assert lines[at + 1 : at + 4] == ["| parameter | commit | this run |", "|---|---|---|", "| `train.epochs` | 10 | 3 |"]
    assert lines.index("## Next") == at + 4  # no other parameter


def test_an_accuracy_of_pairs_of_mirror_images_is_named_so(root: Path) -> None:
    mirrored = Result("low-rate", METRICS | {"mirror": True}, val_loss=0.2)
    assert summary(root, mirrored, COMMIT).startswith(
        "# 99.1 % (98.4 to 99.5) of the test images are correct, with mirror images\n"
    )


def test_several_labels_begin_with_the_mean_average_precision(root: Path) -> None:
    figures = {"mean_average_precision": 0.8, "mean_average_precision_low": 0.75, "mean_average_precision_high": 0.85}
    several = METRICS | figures | {"micro_f1": 0.7}
    assert summary(root, Result("low-rate", several, val_loss=0.2), COMMIT).startswith(
        "# mAP 80.0 % (75.0 to 85.0) on the test images\n"
    )
    mirrored = Result("low-rate", several | {"mirror": True}, val_loss=0.2)
    assert summary(root, mirrored, COMMIT).startswith("# mAP 80.0 % (75.0 to 85.0) on the test images, with mirror images\n")


def test_the_rest_is_folded(root: Path) -> None:
    folded = page_of(root).partition("<details>")[2]
    for line in ("| accuracy | 0.991279 |", "| `model` | `0a1b` |", "  flip: true"):
        assert line in folded.splitlines()


def test_a_run_that_changes_nothing_says_so(root: Path) -> None:
    (root / "params.yaml").write_text("ingest:\n  source: '````'\ntrain:\n  epochs: 10\n  flip: true\n")
    assert "## What differs from the commit\n\nNo parameter.\n" in page_of(root)


def test_it_has_the_next_command(root: Path) -> None:
    lines = page_of(root).splitlines()
    assert {"    train-resnet compare HEAD low-rate", "    dvc exp apply low-rate"} <= set(lines)
    in_place = page_of(root, in_place=True)
    assert "dvc exp apply" not in in_place
    assert "The report is `reports/index.html` in the project's folder." in in_place


def test_pictures_are_in_the_page(root: Path) -> None:
    content = base64.b64encode(b"\x89PNG curve").decode()
    assert f"![loss](data:image/png;base64,{content})" in page_of(root)


def test_a_value_with_backticks_does_not_end_the_block_of_parameters(root: Path) -> None:
    lines = page_of(root).splitlines()
    start = lines.index("`````yaml")
    assert lines[start + 1 : start + 3] == ["ingest:", "  source: '````'"]
    assert "`````" in lines[start + 3 :]


def test_a_value_with_a_bar_stays_in_its_cell(root: Path) -> None:
    (root / "params.yaml").write_text("ingest:\n  source: a|b\ntrain:\n  epochs: 10\n  flip: true\n")
    assert "| `ingest.source` | ```` | a\\|b |" in page_of(root).splitlines()
