"""One page that shows a run's results, and opens from disk without a network."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_MOST_MISTAKES = 50


def render_report(
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    predictions: pd.DataFrame,
    model_summary: str,
    pictures: Mapping[str, Path],
) -> str:
    """The page as HTML, with the pictures inside.

    Args:
        metrics: the headline figures by name, see `resnet.evaluation.metrics.summarise`.
        history: a row an epoch.
        predictions: a row a test image, with the columns path, label, predicted, probability.
        model_summary: as Keras prints it.
        pictures: PNG files by what they show.
    """
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    mistakes = wrong.sort_values(["probability", "path"], ascending=[False, True])
    # Names of classes and files are other people's text: escaped, it stays text.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        metrics=metrics,
        history=history.to_dict("records"),
        mistakes=mistakes.head(_MOST_MISTAKES).to_dict("records"),
        mistakes_in_all=len(mistakes),
        model_summary=model_summary,
        pictures={name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()},
    )
