"""A bucket as DVC remote, on an S3 server on loopback: the commands of `docs/sharing.md`, faults, and what users are told."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from s3fs import S3FileSystem

from commands.remote_objects import repair_remote
from commands.storage_errors import unusable
from commands.verify import find_missing
from tests.imports import ROOT
from tests.project import Project
from tests.s3_store import ENVIRONMENT, Fault, Store
from tests.shared_project import SharedProject, damaged_objects, md5
from tests.soak.s3_faults import survived

ALWAYS = 10**6


def commands(heading: str) -> list[str]:
    """The commands in a section of the page."""
    section = (ROOT / "docs" / "sharing.md").read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^    (.*)$", section)


def test_the_commands_of_the_page_bring_every_output_to_another_clone(
    finished_project: Path, tmp_path: Path, store: Store
) -> None:
    first = Project(tmp_path / "first", copy_of=finished_project)
    lines = [
        line for line in commands("Try it without an account") if not line.startswith(("moto_server", "train-resnet doctor"))
    ]
    assert len(lines) == 12
    script = "\n".join(lines).replace("http://127.0.0.1:5555", store.url)
    first.environment |= ENVIRONMENT | {"HOME": str(tmp_path)}
    said = first.run("bash", "-e", "-c", script).stdout
    assert said.endswith("Data and pipelines are up to date.\n")
    second = Project(tmp_path / "third", copy_of=tmp_path / "second")
    assert second.repro() == []
    assert second.run("python", "-m", "commands", "verify").stderr == ""
    assert second.hashes() == first.hashes()


@pytest.fixture
def shared(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedProject]:
    """A project that is not pushed, in the current folder."""
    made = SharedProject(tmp_path / "origin", store)
    made.make()
    monkeypatch.chdir(made.folder)
    monkeypatch.setattr(S3FileSystem, "retries", 2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield made
    store.clear()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("SignatureDoesNotMatch", count=ALWAYS), "access is denied to these credentials"),  # HEAD has no code
        (Fault("reset", after=8, count=ALWAYS), "the connection to the storage was lost"),
        (Fault("hang", after=8, count=ALWAYS), "the storage does not answer in time"),
    ],
)
def test_the_same_command_finishes_what_a_fault_stopped(
    fault: Fault, said: str, shared: SharedProject, store: Store, tmp_path: Path
) -> None:
    clone = SharedProject(tmp_path / "clone", store).follow(shared)
    for project, command in ((shared, shared.push), (clone, clone.pull)):
        project.wait_at_most(1 if fault.kind == "hang" else 60)
        with store.failing(fault):
            error = command()
        project.wait_at_most(60)
        assert error is not None
        assert said in str(unusable(error, "store")) or isinstance(error, DvcException)  # DVC's own error tells no cause
        assert command() is None
        assert damaged_objects(store, "project") == project.damaged() == []
    assert clone.contents() == shared.contents()


@pytest.mark.parametrize("name", ["data/a.bin", "data"])
def test_an_object_that_was_damaged_in_the_store_is_named_replaced_and_then_pulled(
    name: str, shared: SharedProject, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shared.push() is None
    contents = shared.contents()
    (listing,) = [key for key in store.names() if key.endswith(".dir")]
    digest = md5(contents[name]) if name in contents else ""
    key = listing if name == "data" else f"project/files/md5/{digest[:2]}/{digest[2:]}"
    store.write(key, store.read(key).replace(b"a.bin", b"e.bin") if name == "data" else contents[name][:-1] + b"?")
    clone = SharedProject(tmp_path / "clone", store).follow(shared)
    error = clone.pull()
    assert (error is None) == (name == "data")  # DVC does not compare the list of a folder with its hash: it makes data/e.bin
    assert clone.damaged() == []
    (sentence,) = find_missing(clone.folder, clone.folder / ".dvc" / "cache")
    assert sentence.startswith(f"{name.partition('/')[0]} ")
    assert key.removeprefix("project/") in sentence
    assert "run `dvc pull`" in sentence

    assert repair_remote() == 0  # in the folder of `shared`
    assert f"{key.removeprefix('project/')} is damaged" in capsys.readouterr().out
    assert clone.pull() is None
    assert clone.contents() == contents
    assert find_missing(clone.folder, clone.folder / ".dvc" / "cache") == []


def test_a_bucket_that_does_not_exist_is_not_made(tmp_path: Path, store: Store) -> None:
    project = SharedProject(tmp_path / "project", store, bucket="elsewhere")
    project.make()
    error = project.push()
    assert error is not None
    assert "there is no such bucket" in str(unusable(error, "store"))
    assert "elsewhere" not in [bucket["Name"] for bucket in store.client.list_buckets()["Buckets"]]


def test_the_soak_in_small() -> None:
    assert survived(3) == 3


def test_the_soak_finds_damage_that_dvc_accepts(tmp_path: Path, shared: SharedProject, store: Store) -> None:
    assert shared.push() is None
    clone = SharedProject(tmp_path / "clone", store).follow(shared)
    config = clone.folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("verify = true", "verify = false"))
    with store.failing(Fault("flipped answer", after=5, count=ALWAYS)):
        clone.pull()
    assert clone.damaged()
