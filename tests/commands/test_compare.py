"""Runs at revisions of a small repository, whose DVC cache is written by hand, compared and judged."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.compare import as_text, compare, main
from commands.gate import judge
from commands.results import Run
from resnet.core.errors import UserError
from tasks.evaluate import Evaluate
from tests.browser import CHROMIUM, open_page

GRAPH = {
    "stages": {
        "ingest": {"cmd": "true", "outs": ["raw"]},
        "evaluate": {"cmd": "true", "deps": ["raw"], "outs": ["predictions.csv", "metrics.json"], "params": ["train"]},
    }
}
ANSWERS = {"a/1": ("a", "a"), "a/2": ("a", "a"), "b/1": ("b", "b"), "b/2": ("b", "a"), "<b>/3": ("<b>", "<b>")}


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def store(content: bytes, suffix: str = "") -> str:
    """Puts an object into DVC's cache, as DVC lays it out; returns its MD5."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = Path(".dvc/cache/files/md5") / md5[:2] / f"{md5[2:]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{md5}{suffix}"


def write_run(
    answers: Mapping[str, tuple[str, str]], *, epochs: int = 3, split_seed: int = 0, pixels: Mapping[str, str] | None = None
) -> None:
    """Leaves a work tree behind as `dvc repro` does."""
    hashes = dict.fromkeys(answers, "0") | dict(pixels or {})
    manifest = "path,pixel_hash\n" + "".join(f"{path},{pixel}\n" for path, pixel in hashes.items())
    listing = [{"md5": store(manifest.encode()), "relpath": "manifest.csv"}]
    raw = store(json.dumps(listing).encode(), ".dir")
    predictions = "path,label,predicted,probability\n"
    predictions += "".join(f"{path},{label},{guess},0.75\n" for path, (label, guess) in answers.items())
    hits = sum(label == guess for label, guess in answers.values())
    metrics = json.dumps({"accuracy": round(hits / len(answers), 6), "loss": 0.5})
    Path("predictions.csv").write_text(predictions, encoding="utf-8")
    Path("metrics.json").write_text(metrics, encoding="utf-8")
    Path("raw").mkdir(exist_ok=True)
    Path("raw/manifest.csv").write_text(manifest, encoding="utf-8")
    outs = [
        {"path": path, "hash": "md5", "md5": store(text.encode()), "size": len(text)}
        for path, text in (("predictions.csv", predictions), ("metrics.json", metrics))
    ]
    params = {"params.yaml": {"train": {"epochs": epochs}, "preprocess.split_seed": split_seed}}
    images = [{"path": "raw", "hash": "md5", "md5": raw, "size": len(manifest), "nfiles": 1}]
    stages = {
        "ingest": {"cmd": "true", "outs": images},
        "evaluate": {"cmd": "true", "deps": images, "params": params, "outs": outs},
    }
    with Path("dvc.lock").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": stages}, file)


def commit(tag: str) -> None:
    git("add", "dvc.yaml", "dvc.lock", "params.yaml")
    git("commit", "--quiet", "--allow-empty", "--message", tag)
    git("tag", tag)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commits with the tags first, second, and others that cannot be compared; the work tree is as `second`."""
    folder = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        git("init", "--quiet")
        git("commit", "--quiet", "--allow-empty", "--message", "nothing")
        git("tag", "nothing")
        Path(".dvc").mkdir()
        Path(".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
        Path("params.yaml").write_text("train:\n  epochs: 3\npreprocess:\n  split_seed: 0\n", encoding="utf-8")
        with Path("dvc.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(GRAPH, file)
        second = ANSWERS | {"b/2": ("b", "b"), "a/1": ("a", "b"), "<b>/3": ("<b>", "a")}
        for tag, answers, options in (
            ("first", ANSWERS, {}),
            ("more", ANSWERS | {"c/1": ("c", "c")}, {"split_seed": 1}),
            ("other", {f"{path}x": answer for path, answer in ANSWERS.items()}, {}),
            ("relabelled", ANSWERS | {"a/2": ("b", "b")}, {}),
            ("repainted", ANSWERS, {"pixels": {"b/1": "1"}}),
            ("grown", ANSWERS, {"pixels": {"training image": "1"}}),
            ("second", second, {"epochs": 5}),
        ):
            write_run(answers, **options)
            commit(tag)
    return folder


@pytest.fixture(autouse=True)
def in_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(repository / ".dvc" / "site"))


def test_what_sets_two_runs_apart() -> None:
    found = compare(Run("first"), Run("second"))
    assert (found.paired.first, found.paired.second, found.paired.gained, found.paired.lost) == (4, 3, 1, 2)
    assert found.parameters == {"train.epochs": (3, 5)}
    assert found.metrics == {"accuracy": (0.8, 0.6), "loss": (0.5, 0.5)}
    assert [(image.path, image.before, image.after) for image in found.gained] == [("b/2", "a", "b")]
    assert [image.path for image in found.lost] == ["<b>/3", "a/1"]
    assert [(change.label, change.gained, change.lost) for change in found.classes] == [("<b>", 0, 1), ("a", 0, 1), ("b", 1, 0)]


def test_the_text_says_it(repository: Path) -> None:
    text = as_text(compare(Run("first"), Run("second")))
    assert "first   first (" in text
    assert "accuracy 80.00 % (4 of 5)" in text
    assert "difference -20.00 points, 95 % interval " in text
    assert "p = 1.0000; 1 images gained, 2 lost" in text
    assert "There is no significant difference on these 5 images: the interval contains zero." in text
    assert "train.epochs: 3 -> 5" in text
    assert "  a/1: is a; a (0.75) -> b (0.75)" in text


def test_the_work_tree_is_a_run_too() -> None:
    assert compare(Run("second"), Run("workspace")).paired.gained == 0
    assert compare(Run("first"), Run("workspace")).paired.lost == 2


def test_a_commit_can_be_named_by_its_hash() -> None:
    commit = Run("second").commit
    assert commit is not None
    assert str(Run(commit[:8])) == commit[:8]
    assert compare(Run(commit[:8]), Run("second")).paired.difference == 0


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ("more", "1 of 6 are in more alone, such as c/1 (preprocess.split_seed is 0 and 1)"),
        ("other", "5 of 5 are in first alone, such as <b>/3; 5 of 5 are in other alone, such as <b>/3x."),
        ("relabelled", "1 have two labels, such as a/2: a and b."),
        ("repainted", "1 have other pixels, such as b/1."),
    ],
)
def test_runs_on_different_test_images_are_refused(other: str, difference: str) -> None:
    with pytest.raises(UserError) as caught:
        compare(Run("first"), Run(other))
    assert str(caught.value).startswith(f"the test images of first and {other} differ: {difference}")


def test_new_images_elsewhere_do_no_harm() -> None:
    assert compare(Run("first"), Run("grown")).paired.difference == 0


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("nonsense", "there is no revision and no experiment 'nonsense' here"),
        ("nothing", "nothing has no results, for it has no dvc.lock"),
    ],
)
def test_a_revision_without_results_is_named(
    revision: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["compare", "first", revision])
    assert main() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"compare: {sentence}")
    assert error.count("\n") == 1


def test_results_that_dvc_has_no_more_are_named() -> None:
    text = "path,label,predicted,probability\n" + "".join(f"{path}x,{a},{b},0.75\n" for path, (a, b) in ANSWERS.items())
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    cached = Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]
    kept = cached.read_bytes()
    cached.unlink()
    try:
        with pytest.raises(UserError, match=r"predictions.csv of other is neither in DVC's cache nor in a remote"):
            compare(Run("first"), Run("other"))
    finally:
        cached.write_bytes(kept)


def test_a_work_tree_of_another_run_is_refused() -> None:
    before = Path("predictions.csv").read_bytes()
    Path("predictions.csv").write_bytes(before.replace(b"0.75", b"0.76"))
    try:
        with pytest.raises(UserError, match="predictions.csv is not the one that dvc.lock knows"):
            compare(Run("first"), Run("workspace"))
    finally:
        Path("predictions.csv").write_bytes(before)


def test_the_page_holds_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["compare", "first", "second", "--html", str(tmp_path / "page.html")])
    assert main() == 0
    assert "page.html shows all of it" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text("utf-8")
    for words in ("-20.00 points of accuracy", "train.epochs", "b/2", "a/1", "&lt;b&gt;/3", "p&nbsp;=&nbsp;1.0000"):
        assert words in page
    assert "<b>" not in page
    if CHROMIUM is not None:
        document, said = open_page(tmp_path / "page.html", tmp_path / "profile")
        assert said == []
        assert "Images lost: 2" in document


@pytest.fixture
def conditions() -> Callable[[float | None, str | None], Evaluate]:
    return lambda minimum, baseline: Evaluate(batch_size=1, samples=1, minimum_accuracy=minimum, baseline=baseline)


def test_the_gate_judges_what_it_is_asked(conditions: Callable[[float | None, str | None], Evaluate]) -> None:
    run = Run("workspace")
    assert judge(conditions(None, None), run) == []
    (minimum,) = judge(conditions(0.61, None), run)
    assert (minimum.name, minimum.passed) == ("minimum_accuracy", False)
    minimum, baseline = judge(conditions(0.6, "first"), run)
    assert minimum.passed
    assert baseline.passed  # two lost and one gained of five is chance
    assert baseline.why.startswith("against first (")


def test_a_baseline_with_other_images_is_no_baseline(conditions: Callable[[float | None, str | None], Evaluate]) -> None:
    with pytest.raises(UserError, match="the test images of more and workspace differ"):
        judge(conditions(None, "more"), Run("workspace"))
