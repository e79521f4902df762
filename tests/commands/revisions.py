"""A small repository with results at several revisions, whose DVC cache is written by hand."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

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
    """Writes the work tree and the cache that `dvc repro` would write."""
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


def write_repository(folder: Path) -> None:
    """Makes commits with the tags first, second, and others that cannot be compared; the work tree is that of `second`."""
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
