"""The commands, parameters, paths and links in the documents exist."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.imports import ROOT

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]
# What `train-resnet --help` lists.
COMMANDS = {
    "check",
    "look",
    "fetch",
    "decide",
    "live",
    "board",
    "compare",
    "gate",
    "why",
    "predict",
    "export",
    "publish",
    "doctor",
    "advise",
    "checkpoints",
    "verify",
    "repair",
}
ENVIRONMENT = {
    "TRAIN_RESNET_CHECKPOINT_REMOTE",
    "TRAIN_RESNET_CHECKPOINT_SECONDS",
    "TRAIN_RESNET_EVENTS",
    "TRAIN_RESNET_NATIVE",
    "TRAIN_RESNET_SERVER_OWNER",
    "TRAIN_RESNET_SLOTS",
    "TRAIN_RESNET_STOP_AFTER",
    "TRAIN_RESNET_WORKER",
}
# Folders with files of the repository; what the stages write is in dvc.yaml, and other paths are examples.
OWN = ("benchmarks", "builtin", "commands", "docs", "flows", "resnet", "tasks", "tests")


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def code(page: str) -> Iterator[str]:
    """What a page shows as code: indented lines without comments, and spans between backticks with line breaks as spaces."""
    yield from (re.split(r"(?:^|\s)#\s", line)[0] for line in re.findall(r"(?m)^    +(.*)$", text(page)))
    prose = re.sub(r"(?m)^    +.*$", "", text(page))
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def found(pattern: str, page: str) -> set[str]:
    return {match for span in code(page) for match in re.findall(pattern, span)}


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    assert found(r"train-resnet ([a-z]+)", page) <= COMMANDS
    makefile = text("Makefile")
    for target in found(r"^make ([a-z-]+)", page):
        assert re.search(rf"(?m)^{target}:", makefile), target
    for module in found(r"python -m ((?:benchmarks|flows|tasks|tests)[a-z_.]*)", page) - {"tasks.predict"}:  # in the changelog
        assert find_spec(module) is not None, module


@pytest.mark.parametrize("page", PAGES)
def test_parameters_exist(page: str) -> None:
    params: Any = YAML(typ="safe").load(ROOT / "params.yaml")
    names = {"seed"} | {f"{stage}.{name}" for stage, section in params.items() if stage != "seed" for name in section}
    assert found(r"(?:-S|--set|--grid|--between-log|--among) '?([a-z_.]+)=", page) <= names
    assert found(rf"^((?:{'|'.join(set(params) - {'seed'})})\.[a-z_]+)(?:=|: |$)", page) - names <= {"train.py"}
    assert found(r"TRAIN_RESNET_[A-Z_]+", page) <= ENVIRONMENT


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_links_exist(page: str) -> None:
    for path in found(rf"^(?:{'|'.join(OWN)})/[\w./*-]*$", page):
        assert list(ROOT.glob(path.rstrip("/"))), path
    for link in re.findall(r"\]\(([^)#]+)\)", text(page)):
        if "://" not in link:
            assert (ROOT / Path(page).parent / link).exists(), link


def test_the_tree_in_the_readme_has_every_folder() -> None:
    tree = text("README.md").partition("## The tree")[2]
    for folder in ("resnet", "."):
        named = {path.name for path in (ROOT / folder).iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
        local = {"build", "exports", "dvc_plots", "live"} | {name for name in named if name.endswith(".egg-info")}
        assert [name for name in sorted(named - local) if f" {name}/ " not in tree] == []


def test_the_command_for_remotes_installs_the_locked_dvc() -> None:
    locked = re.search(r"(?m)^dvc==(\S+)", text("requirements.lock"))
    assert locked
    assert f'"dvc[gs]=={locked[1]}"' in text("docs/sharing.md")


@pytest.mark.parametrize("page", PAGES)
def test_lines_fit(page: str) -> None:
    assert [line for line in text(page).splitlines() if len(line) > 128 and not line.startswith("|")] == []


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) < 200
