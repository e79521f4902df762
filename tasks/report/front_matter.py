"""The first lines of the model card: YAML that the Hugging Face hub reads when the card is the README of a repository.

The fields are those of https://huggingface.co/docs/hub/model-cards. Texts that a user chose stand in double quotes, because the
hub reads YAML 1.2 and its Python library YAML 1.1: `no` is text in one of them, and `1e3` in the other.
"""

import io
import re
import sys
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from tasks.report.origin import Origin

_MARKER = "---\n"
_ASK = "# license: unknown to the run; state it here, or as render.license in params.yaml, such as apache-2.0\n"
_TAGS = ("image-classification", "resnet", "keras", "tensorflow", "train-resnet")
_METRICS = {"accuracy": ("accuracy", "Accuracy"), "macro_f1": ("f1", "Macro F1")}
_METRICS_OF_SETS = {
    "mean_average_precision": ("mean_average_precision", "Mean average precision"),
    "accuracy": ("accuracy", "Exact-match accuracy"),
    "macro_f1": ("f1", "Macro F1"),
}
_TAG_OF_SETS = "multi-label-image-classification"
_MIRROR = ", mean logits of each image and its mirror image"


def front_matter(*, license: str | None, origin: Origin, metrics: Mapping[str, float]) -> str:  # noqa: A002
    """The block from `---` to `---`, with the line end after it.

    Args:
        license: of the model, by its name on the hub, or None. Then a comment asks for it.
        origin: the data set.
        metrics: the figures of `reports/metrics.json`; those of images with several labels each have micro_f1.
    """
    known = _METRICS_OF_SETS if "micro_f1" in metrics else _METRICS
    figures = {figure: names for figure, names in known.items() if figure in metrics}
    fields: dict[str, Any] = {
        **({"license": _text(license)} if license else {}),
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": [*_TAGS, *([_TAG_OF_SETS] if "micro_f1" in metrics else [])],
        **({"datasets": [_text(origin.hub)]} if origin.hub else {}),
        "metrics": [kind for kind, _ in figures.values()],
        "model-index": [{"name": "resnet", "results": [_result(origin, metrics, figures)]}],
    }
    return _MARKER + ("" if license else _ASK) + _dump(fields) + _MARKER


def _result(origin: Origin, metrics: Mapping[str, float], figures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    mirror = _MIRROR if metrics.get("mirror") else ""
    values = [(kind, f"{name}{mirror}", float(metrics[figure])) for figure, (kind, name) in figures.items()]
    return {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {"name": _text(origin.name), "type": _text(origin.hub or _slug(origin.name)), "split": "test"},
        "metrics": [{"type": kind, "name": name, "value": value} for kind, name, value in values],
    }


def _slug(name: str) -> str:
    """A name in the characters that the hub allows for `dataset.type`."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-._") or "images"


def _text(value: str) -> DoubleQuotedScalarString:
    return DoubleQuotedScalarString(value.encode(errors="replace").decode())


def _dump(fields: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.version = (1, 1)  # writes 1.0e-05, which is a number in both versions; 1e-05 is text in YAML 1.1
    yaml.width = sys.maxsize
    stream = io.StringIO()
    yaml.dump(fields, stream)
    return stream.getvalue().partition(_MARKER)[2]  # after the directive with the version
