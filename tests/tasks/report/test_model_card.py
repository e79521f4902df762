"""The numbers that `render` puts into the model card."""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import metadata_load

from resnet.pictures.data_report import summarise_data
from resnet.pictures.report import Results
from tasks.report.data import PreparedTables, RawTables, read_data
from tasks.report.measured import Measured
from tasks.report.model_card import write_model_card
from tasks.report.origin import Origin
from tests.tasks.results import bundle, seal, write_results


def test_the_card_has_the_numbers_of_the_stages(tmp_path: Path) -> None:
    write_results(tmp_path)
    data = read_data(RawTables(tmp_path / "raw"), bundle(PreparedTables, tmp_path))
    measured = replace(bundle(Measured, tmp_path), evaluation=tmp_path / "evaluation").read(2)
    results = Results(classes=data.classes, **measured, data=summarise_data(data), parameters={}, hashes={})
    write_model_card(tmp_path / "card.md", results, data, origin=Origin("photos"))
    card = (tmp_path / "card.md").read_text("utf-8")
    assert card.startswith("---\n# license: unknown")
    found = metadata_load(tmp_path / "card.md")
    assert found is not None
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == "photos"
    assert "\n---\n\n# Model card: a ResNet for 2 classes\n" in card
    assert "\nData set: photos\n" in card
    for fact in ("\n    0b\n", "2 PNG", "1 oriented", "| test | 2 |", "| accuracy | 50.00 %", "| loss | 1.0000 |", "1.1000"):
        assert fact in card


def test_the_card_warns_of_test_images_that_are_similar_to_training_images(tmp_path: Path) -> None:
    write_results(tmp_path)
    (tmp_path / "near_duplicates.csv").write_text("path,split,other,other_split,distance\na,test,b,training,0\n")
    seal(tmp_path)
    data = read_data(RawTables(tmp_path / "raw"), bundle(PreparedTables, tmp_path))
    measured = replace(bundle(Measured, tmp_path), evaluation=tmp_path / "evaluation").read(2)
    results = Results(classes=data.classes, **measured, data=summarise_data(data), parameters={}, hashes={})
    write_model_card(tmp_path / "card.md", results, data, origin=Origin("photos"))
    card = (tmp_path / "card.md").read_text("utf-8")
    assert "**Warning:** 1 of 2 test images (50.0 %) has a near-duplicate in the training or validation split" in card
    assert "Pairs of images with equal pixels in two splits: 1." in card
