"""The page about a search that prunes."""

import math
import re
from dataclasses import replace

import pytest

from resnet.comparison.search import Search, SearchedTrial, render_search
from tests.hostile.texts import TEXTS
from tests.resnet.comparison.test_page import words
from tests.resnet.comparison.test_runs import Tags


def trial(number: int, epochs: int, state: str, experiment: str = "", scale: float = 1.0) -> SearchedTrial:
    history = [
        {"epoch": float(one), "val_loss": scale * (number + 1) / (10 * one), "val_accuracy": one / 100}
        for one in range(1, epochs + 1)
    ]
    values = {"train.learning_rate": 0.001 * (number + 1), "train.optimizer": "adam" if number % 2 else "sgd"}
    return SearchedTrial(values, history, state, experiment)


def search(count: int, running: bool = False) -> Search:
    """One trial has trained to the end, two to epoch 10, the others to epoch 3; the last one has not begun if it is running."""
    ends = [(30, "finished"), (10, "stopped at epoch 10"), (10, "stopped at epoch 10")]
    trials = [trial(number, *(ends[number] if number < 3 else (3, "stopped at epoch 3"))) for number in range(count)]
    trials[0] = replace(trials[0], experiment="search-<b>01</b>")
    if running:
        trials[-1] = trial(count - 1, 0, "trains to epoch 3")
    weights = {"train.learning_rate": 0.75, "train.optimizer": 0.25} if count >= 20 else None
    return Search(trials, (3, 10, 30), [count, 3, 1], weights, 20, running)


def test_the_page_has_all_parts() -> None:
    text = words(render_search(search(20)))
    for part in (
        "Search that prunes 20 trials, 101 epochs",  # 30 + 2 * 10 + 17 * 3
        "The lowest validation loss of a trial that trained to the end is 0.0033, of the experiment search-&lt;b&gt;01&lt;",
        "20 trials of 30 epochs each would take 600 epochs.",
        "All trials train to epoch 3 of 30. The best 3 of them go on to epoch 10. The best one of them goes on to the end.",
        "stopped at epoch 10",
        "PED-ANOVA (Watanabe et al., 2023)",
        "75.0 %",
        "Validation loss, nats",
        "A trial that was stopped has no trained model, so it is no experiment.",
    ):
        assert part in text, text


def test_the_page_loads_itself_again_while_the_search_goes_on_and_shows_no_importance_of_few_trials() -> None:
    page, ended = render_search(search(4, running=True)), render_search(search(4))
    assert '<meta http-equiv="refresh" content="15">' in page
    assert "refresh" not in ended
    assert "from 20 trials on that reached epoch 3" in page
    assert "PED-ANOVA" not in page
    assert words(page).count("\u2013") == 2  # the trial that has no loss yet


def test_a_search_without_a_trial_or_an_epoch_has_a_page() -> None:
    empty = Search([], (1, 9), [3, 1], None, 20, True)
    assert "No trial has finished an epoch yet." in words(render_search(empty))
    failed = Search([SearchedTrial({"seed": 1}, [], "failed: train: no", "")], (1, 9), [3, 1], None, 20, False)
    assert "No trial was trained to the end." in words(render_search(failed))


def test_a_loss_that_explodes_does_not_flatten_the_others() -> None:
    found = search(4)
    trials = [*found.trials, trial(4, 3, "stopped at epoch 3", scale=1e6)]
    page = render_search(replace(found, trials=trials))
    # The losses after the first epoch are 0.1, 0.2, 0.3, 0.4 and 5e5; twice their median is 0.6.
    assert "Losses above 0.6000 are not drawn: 1 trial has some." in words(page)
    assert page.count("<polyline") == 4 + 5


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_shown(loss: float) -> None:
    odd = SearchedTrial({"seed": 1}, [{"epoch": 1.0, "val_loss": loss, "val_accuracy": 0.1}], "stopped at epoch 1", "")
    assert str(loss) in words(render_search(replace(search(4), trials=[*search(4).trials, odd])))


def test_the_lowest_loss_leaves_out_what_is_not_a_number() -> None:
    rows = [{"epoch": float(one), "val_loss": loss, "val_accuracy": 0.1} for one, loss in ((1, math.nan), (2, 0.25), (3, 0.5))]
    assert SearchedTrial({}, rows, "finished", "x").least == 0.25
    assert SearchedTrial({}, rows[:1], "finished", "x").least == math.inf


def test_texts_with_a_meaning_elsewhere_stay_text() -> None:
    for start in range(0, len(TEXTS), 19):
        some = [
            replace(trial(number, 3, text, text), values={"ingest.source": text, text: 1})
            for number, text in enumerate(TEXTS[start : start + 19])
        ]
        page = render_search(replace(search(4), trials=some, importances=dict.fromkeys(TEXTS[start : start + 19], 0.05)))
        found = Tags()
        found.feed(page)
        assert not {"script", "iframe", "img", "form", "link", "a"} & found.tags
        assert not [name for name in found.attributes if name.startswith("on") or name in ("href", "src")]
        assert not re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e]", page)
        assert "default-src 'none'" in page
