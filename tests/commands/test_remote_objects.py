"""`train-resnet verify --remote` and `train-resnet repair --remote`: a bucket of an S3 server on loopback, and a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from tests.s3_store import BUCKET, Fault, Store
from tests.shared_project import FILES, SharedProject, damaged_objects, md5


@pytest.fixture
def project(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedProject]:
    """The current folder: a project that was pushed."""
    made = SharedProject(tmp_path / "project", store)
    made.make()
    assert made.push() is None
    monkeypatch.chdir(made.folder)
    yield made
    store.clear()


def key(content: bytes, suffix: str = "") -> str:
    digest = md5(content)
    return f"files/md5/{digest[:2]}/{digest[2:]}{suffix}"


def test_a_remote_that_is_whole(project: SharedProject, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("verify", "--remote")
    assert (result.exit_code, result.stdout) == (
        0,
        f"verify: {len(FILES) + 1} objects of the remote 'store' were verified; none is damaged or missing.\n",
    )
    assert train_resnet("repair", "--remote").stdout == (
        f"None of the {len(FILES) + 1} objects of dvc.lock's outputs is missing or damaged in the remote 'store'.\n"
    )


def test_damaged_and_missing_objects_are_named_and_replaced(
    project: SharedProject, store: Store, train_resnet: Callable[..., Result], tmp_path: Path
) -> None:
    contents = project.contents()
    store.write(f"project/{key(contents['data/a.bin'])}", b"?")
    store.client.delete_object(Bucket=BUCKET, Key=f"project/{key(contents['data/b.bin'])}")
    (listing,) = [name for name in store.names() if name.endswith(".dir")]
    store.write(listing, store.read(listing).replace(b"a.bin", b"x.bin"))
    assert project.push() is None  # DVC sends nothing again
    assert len(damaged_objects(store, "project")) == 2

    result = train_resnet("verify", "--remote")
    assert result.exit_code == 1
    *lines, advice = result.stderr.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(
        [key(contents["data/a.bin"]), key(contents["data/b.bin"]), listing.removeprefix("project/")]
    )
    damaged = next(line for line in lines if key(contents["data/a.bin"]) in line)
    right, wrong = md5(contents["data/a.bin"]), md5(b"?")
    assert damaged.endswith(f" is damaged (MD5: {wrong} instead of {right}) in the remote 'store'.")
    assert advice.startswith("`train-resnet repair --remote` replaces them")

    result = train_resnet("repair", "--remote")
    assert (result.exit_code, result.stdout.count("it is replaced.")) == (0, 3)
    assert damaged_objects(store, "project") == []
    clone = SharedProject(tmp_path / "clone", store).follow(project)
    assert clone.pull() is None
    assert clone.contents() == contents


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_an_empty_bucket_may_be_the_wrong_one(
    command: str, project: SharedProject, store: Store, train_resnet: Callable[..., Result]
) -> None:
    store.clear()
    result = train_resnet(command, "--remote")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(
        f"{command}: the remote 'store' has none of the {len(FILES) + 1} objects of the outputs, such as "
    )
    assert "is s3://bucket/project the wrong one? `dvc remote modify store url URL` corrects it" in result.stderr
    assert store.names() == []


def test_of_many_objects_five_are_named(project: SharedProject, store: Store, train_resnet: Callable[..., Result]) -> None:
    for number in range(5):
        (project.folder / "data" / f"more-{number}").write_bytes(bytes([number]) * 100)
    project.make()
    assert project.push() is None
    model = key(project.contents()["model.bin"])
    for name in store.names():
        if not name.endswith(model):
            store.client.delete_object(Bucket=BUCKET, Key=name)
    *named, total, advice = train_resnet("verify", "--remote").stderr.splitlines()
    assert len(named) == 5
    assert all(line.endswith(" is missing in the remote 'store'.") for line in named)
    assert total == "9 of the 10 objects are missing or damaged there; is it s3://bucket/project?"
    assert advice.startswith("`train-resnet repair --remote` replaces them")


def test_a_clone_that_does_not_have_an_object_either_says_so(
    project: SharedProject, store: Store, train_resnet: Callable[..., Result]
) -> None:
    model = key(project.contents()["model.bin"])
    store.write(f"project/{model}", b"?")
    (project.folder / ".dvc" / "cache" / model).unlink()
    result = train_resnet("repair", "--remote")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"{model} is damaged")
    assert "in a clone that has it, or here after `dvc repro`" in result.stderr
    assert store.read(f"project/{model}") == b"?"


def test_a_folder_is_replaced_too(project: SharedProject, train_resnet: Callable[..., Result], tmp_path: Path) -> None:
    config = project.folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("s3://bucket/project", str(tmp_path / "disk")).partition("    endpointurl")[0])
    assert project.push() is None
    model = tmp_path / "disk" / key(project.contents()["model.bin"])
    model.chmod(0o644)
    model.write_bytes(b"?")
    assert train_resnet("verify", "--remote").exit_code == 1
    assert train_resnet("repair", "--remote").exit_code == 0
    assert md5(model.read_bytes()) == model.parent.name + model.name


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_a_remote_that_cannot_be_used_is_one_sentence(
    command: str, project: SharedProject, store: Store, train_resnet: Callable[..., Result]
) -> None:
    with store.failing(Fault("AccessDenied", count=10**6)):
        result = train_resnet(command, "--remote")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"{command}: the remote 'store' cannot be used, because access is denied")
    assert train_resnet(command, "--remote").exit_code == 0


def test_without_a_default_remote_the_command_is_named(project: SharedProject, train_resnet: Callable[..., Result]) -> None:
    (project.folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    result = train_resnet("verify", "--remote")
    assert result.stderr == "verify: there is no default remote; `dvc remote add --default NAME URL` adds one.\n"
