"""The YAML at the top of the model card, as the Hugging Face hub and its Python library read it."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from ruamel.yaml import YAML

from tasks.report.front_matter import front_matter
from tasks.report.origin import Origin

METRICS = {"accuracy": 0.755376, "accuracy_low": 0.7, "accuracy_high": 0.8, "macro_f1": 0.75, "loss": 0.9}
HOSTILE = [
    *("no", "1e3", "null", "~", "1.0", "0x1f", "2026-11-26", "12:30:45", "=", "<<", "*a", "&a", "!!int 7", "%YAML 1.2"),
    *("a: b", "#", "a # b", "- a", "[a]", "{a", '"', "'", "\\n", "a\nb", "a\n---\nb", "---", "...", "\ttab", " a ", "?"),
    *("\U0001f642", "\u2028", "\x85", "\x7f", "\x1b[31m", "\ufeff", "\u202e", "{{ x }}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
]


def read(block: str, folder: Path, body: str = "# Title\n") -> Any:
    """The fields as `huggingface_hub` reads them from a card with YAML 1.1, after a comparison with a parser of YAML 1.2."""
    (folder / "README.md").write_text(f"{block}\n{body}", encoding="utf-8")
    found = metadata_load(folder / "README.md")
    assert found == YAML(typ="safe", pure=True).load(block.removesuffix("---\n"))
    card = ModelCard.load(folder / "README.md")
    assert card.text.strip() == body.strip()  # the block ends where it should
    assert card.data.to_dict() == found
    return found


def test_the_hub_finds_the_results(tmp_path: Path) -> None:
    origin = Origin("someone/clothes", "someone/clothes")
    found = read(front_matter(license="apache-2.0", origin=origin, metrics=METRICS), tmp_path)
    assert (found["license"], found["library_name"], found["pipeline_tag"]) == ("apache-2.0", "keras", "image-classification")
    assert (found["datasets"], found["metrics"]) == (["someone/clothes"], ["accuracy", "f1"])
    name, results = model_index_to_eval_results(found["model-index"])
    assert name == "resnet"
    rows = [(one.task_type, one.dataset_type, one.dataset_split, one.metric_type, one.metric_value) for one in results]
    place = ("image-classification", "someone/clothes", "test")
    assert rows == [(*place, "accuracy", 0.755376), (*place, "f1", 0.75)]
    assert [one.metric_name for one in results] == ["Accuracy", "Macro F1"]


def test_figures_with_mirror_images_are_named_so(tmp_path: Path) -> None:
    found = read(front_matter(license=None, origin=Origin("photos"), metrics=METRICS | {"mirror": True}), tmp_path)
    _, results = model_index_to_eval_results(found["model-index"])
    assert [(one.metric_type, one.metric_name) for one in results] == [
        ("accuracy", "Accuracy, mean logits of each image and its mirror image"),
        ("f1", "Macro F1, mean logits of each image and its mirror image"),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_text(name: str, tmp_path: Path) -> None:
    block = front_matter(license=name, origin=Origin(name), metrics=METRICS)
    assert read(block, tmp_path)["license"] == name
    dataset = read(block, tmp_path)["model-index"][0]["results"][0]["dataset"]
    assert dataset["name"] == name
    # What the hub allows: https://github.com/huggingface/hub-docs, the specification of model cards.
    assert dataset["type"].replace("-", "").replace(".", "").replace("_", "").isascii()
    assert isinstance(dataset["type"], str)
    assert block.count("\n---\n") == 1


def test_no_licence_is_asked_for_and_not_invented(tmp_path: Path) -> None:
    block = front_matter(license=None, origin=Origin("photos"), metrics=METRICS)
    assert block.startswith("---\n# license: unknown to the run; state it here, or as render.license in params.yaml")
    found = read(block, tmp_path)
    assert not {"license", "datasets", "base_model"} & found.keys()


@pytest.mark.parametrize("accuracy", [0.0, 1.0, 0.00001, 0.000001])
def test_figures_are_numbers_for_every_reader(accuracy: float, tmp_path: Path) -> None:
    block = front_matter(license=None, origin=Origin("photos"), metrics=METRICS | {"accuracy": accuracy})
    figure = read(block, tmp_path)["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert (type(figure), figure) == (float, accuracy)


def test_with_several_labels_the_mean_average_precision_comes_first(tmp_path: Path) -> None:
    figures = METRICS | {"mean_average_precision": 0.9, "micro_f1": 0.8}
    found = read(front_matter(license=None, origin=Origin("photos"), metrics=figures), tmp_path)
    _, results = model_index_to_eval_results(found["model-index"])
    assert [(one.metric_type, one.metric_name, one.metric_value) for one in results] == [
        ("mean_average_precision", "Mean average precision", 0.9),
        ("accuracy", "Exact-match accuracy", 0.755376),
        ("f1", "Macro F1", 0.75),
    ]
    assert found["metrics"] == ["mean_average_precision", "accuracy", "f1"]
    assert "multi-label-image-classification" in found["tags"]
    del figures["mean_average_precision"]  # no test image has any class
    without = read(front_matter(license=None, origin=Origin("photos"), metrics=figures), tmp_path)
    assert without["metrics"] == ["accuracy", "f1"]
    assert "multi-label-image-classification" not in front_matter(license=None, origin=Origin("photos"), metrics=METRICS)
