"""What `train-resnet check` checks before anything runs."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands import check
from commands.advice.parameters import with_values
from commands.check import check_source, check_weights, describe_source
from resnet.core.errors import UserError
from tasks.ingest import Ingest, ingest
from tasks.stage.git import git
from tasks.stage.graph import read_graph
from tests.imports import HEAVY, ROOT
from tests.pictures import picture, two_classes, write_tree


def test_what_dvc_can_watch_passes(tmp_path: Path) -> None:
    tree = two_classes(tmp_path / "tree", each=2)
    (tree / "cat" / "new\nline").touch()
    (tree / "cat" / "link").symlink_to("../dog")
    check_source(str(tree), {})
    check_source(str(tree / "cat" / "0.png"), {})


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("nowhere", "correct the path"),
        ("digits", r"did you mean builtin/digits\?"),
        ("random", "correct the path"),
        ("tfds:dtd", "run `train-resnet fetch tfds:dtd`"),
        ("~/photos", f"a ~ in a parameter is not expanded; write {Path.home()}/photos"),
        ("$HOME/photos", "variables in a parameter are not expanded; write the path in full"),
        ("gs://bucket/photos.zip", "only paths and s3:// are read; download it"),
        ("file:///photos", "only paths and s3:// are read; download it"),
    ],
)
def test_a_missing_source_is_named(source: str, advice: str) -> None:
    with pytest.raises(
        UserError, match=f"ingest.source is {re.escape(source)}, but there is no such file or folder in .*: {advice}"
    ):
        check_source(source, {})


def test_a_folder_in_a_bucket_is_refused_without_a_request() -> None:
    with pytest.raises(
        UserError, match=r"^s3://bucket/photos is neither an archive .* and nothing else is read from a bucket: "
    ):
        check_source("s3://bucket/photos", {})


def test_a_path_that_was_cut_at_a_space_is_completed(tmp_path: Path) -> None:
    for name in ("my photos (2)", "mystery", "my.zip"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        UserError, match=r"did you mean .*/my photos \(2\)\? After -S, write it in quotes within quotes: \"NAME='VAL"
    ):
        check_source(str(tmp_path / "my"), {})


def bind(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, r"x cannot be read by DVC.*\(a FIFO, a socket or a device\): remove it, or pack the folder into a \.tar"),
        (bind, r"x cannot be read by DVC.*\(a FIFO, a socket or a device\)"),
        (lambda path: path.symlink_to("nowhere"), r"x cannot be read by DVC.*\(No such file or directory\)"),
        (lambda path: path.symlink_to("x"), r"x cannot be read by DVC.*\(Too many levels of symbolic links\)"),
        (lambda path: Path(os.fsdecode(os.fsencode(path) + b"\xff")).touch(), r"x\\xff cannot be read by DVC.*not UTF-8"),
    ],
)
def test_what_dvc_cannot_read_is_named(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    tree = two_classes(tmp_path / "tree", each=2)
    make(tree / "dog" / "x")
    with pytest.raises(UserError, match=why):
        check_source(str(tree), {})


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("nowhere.keras", r"build\.weights is nowhere\.keras, but there is no such file in .*: correct the path"),
        ("random", r"build\.weights is random, .*: did you mean builtin/random\?"),
        ("imagenet", r"build\.weights is imagenet, .*: did you mean builtin/imagenet\?"),
        ("digits", "correct the path"),
        (
            "models/resnet.keras",
            r"build\.weights is models/resnet\.keras, but this pipeline writes models/resnet\.keras itself: copy",
        ),
    ],
)
def test_weights_that_dvc_cannot_watch_are_named(weights: str, sentence: str) -> None:
    graph = read_graph(ROOT / "dvc.yaml")
    with pytest.raises(UserError, match=sentence):
        check_weights(weights, graph)
    for name in ("builtin/random", "builtin/imagenet"):
        check_weights(str(ROOT / name), graph)


ORDER = "check: params.yaml, the paths in it, and DVC's files are in order.\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the pipeline and the parameters of this project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "inherited", lambda: {"SHELL": "/bin/sh", "USER": "a", "HOME": "/"})
    for name in ("builtin", "data"):
        (tmp_path / name).mkdir()
    for name in ("dvc.yaml", "params.yaml", "data/decisions.csv"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("digits", "random"):
        (tmp_path / "builtin" / name).touch()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_line_says_that_all_is_in_order(folder: Path, train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, ORDER, "")


def test_the_source_is_described(folder: Path, train_resnet: Callable[..., Result]) -> None:
    text = (folder / "params.yaml").read_text("utf-8")
    two_classes(folder / "photos", each=2)
    (folder / "params.yaml").write_text(text.replace("source: builtin/digits", "source: photos"), encoding="utf-8")
    result = train_resnet("check")
    assert (result.exit_code, result.stdout) == (0, "check: photos has 2 classes ('cat', 'dog')\n" + ORDER)


def test_a_relative_path_out_of_the_project_is_noted(folder: Path, train_resnet: Callable[..., Result]) -> None:
    outside = two_classes(folder.parent / "photos", each=2)
    text = (folder / "params.yaml").read_text("utf-8")
    noted = {}
    for source in ("../photos", str(outside)):
        (folder / "params.yaml").write_text(text.replace("source: builtin/digits", f"source: {source}"), encoding="utf-8")
        noted[source] = "do not find ../photos; they need the full path, " in train_resnet("check").stdout
    assert noted == {"../photos": True, str(outside): False}


def test_all_mistakes_are_named_at_a_time(folder: Path, train_resnet: Callable[..., Result]) -> None:
    text = (folder / "params.yaml").read_text("utf-8")
    for old, new in (
        ("\nseed: 0 ", "\nseed: -1 "),
        ("source: builtin/digits", "source: digits"),
        ("epochs: 10 ", "epoch: 10 "),
        ("batch_size: 32", "batch_size: 0"),
        ("weights: builtin/random", "weights: none.keras"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    shutil.rmtree(folder / ".git")
    result = train_resnet("check")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert all(line.startswith("check: ") for line in lines)
    for line, part in zip(
        lines,
        (
            "not a git repository (or any of the parent directories): .git: run `git init && ",
            "params.yaml: seed must be a whole number",
            "params.yaml: there is no parameter train.epoch; did you mean train.epochs?",
            "params.yaml: train.batch_size should be greater than or equal to 2, but it is 0.",
            "params.yaml: ingest.source is digits, but there is no such file or folder in ",
            "params.yaml: build.weights is none.keras, but there is no such file in ",
        ),
        strict=True,
    ):
        assert part in line


def test_a_shell_that_runs_no_commands_is_a_mistake(
    folder: Path, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "inherited", lambda: {"SHELL": "/bin/false", "USER": "a", "HOME": "/"})
    result = train_resnet("check")
    assert result.exit_code == 1
    assert result.stderr == (
        "check: SHELL is /bin/false, which runs no commands, but DVC runs the stages with it: run `export SHELL=/bin/sh`.\n"
    )


def test_a_clone_of_a_part_of_the_history_is_a_note(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, train_resnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path_factory.mktemp("part")
    (folder / "b").touch()
    git(folder, "add", "b")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "second")
    git(folder, "clone", "--quiet", "--depth", "1", f"file://{folder}", str(part))
    monkeypatch.chdir(part)
    result = train_resnet("check")
    note, order = result.stdout.splitlines(keepends=True)
    assert (result.exit_code, order) == (0, ORDER)
    assert "`dvc exp run --temp` loses its experiment" in note
    assert "`git fetch --unshallow`" in note


def test_a_source_is_described_as_ingest_reads_it(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path / "tree",
        {f"seg_{part}/{name}/{n}.jpg": b"" for part in ("train", "test") for name in ("cat", "dog") for n in range(3)},
    )
    assert describe_source(str(tree)) == [
        f"{tree} has 2 classes ('cat', 'dog'), and the splits training, test",
        "read as splits: 'seg_test' as test, 'seg_train' as training",
    ]
    archive = shutil.make_archive(str(tmp_path / "tree"), "gztar", tree)
    assert describe_source(archive)[0] == f"{archive} has 2 classes ('cat', 'dog'), and the splits training, test"
    assert describe_source(str(tree), 1)[0] == f"{tree} has 2 classes ('seg_test', 'seg_train')"


@pytest.mark.parametrize("files", [{}, {"1.jpg": b""}, {"cat/1.jpg": b""}, {"images/1.jpg": b"", "masks/1.png": b""}])
def test_what_ingest_refuses_is_refused_with_the_same_sentence(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "tree").mkdir()
    tree = write_tree(tmp_path / "tree", files)
    with pytest.raises(UserError) as by_check:
        describe_source(str(tree))
    params = Ingest(
        source=str(tree),
        path_column="auto",
        label_column="auto",
        image_folder="auto",
        on_bad="fail",
        max_rejected=0,
        max_pixels=1,
        min_images_per_class=1,
        multi_label="auto",
        class_level="auto",
    )
    with pytest.raises(UserError) as by_ingest:
        ingest(params, decisions_csv=ROOT / "data/decisions.csv", raw=tmp_path / "raw")
    assert str(by_check.value) == str(by_ingest.value)


def test_what_is_known_or_slow_to_list_is_not_described(tmp_path: Path) -> None:
    assert describe_source("builtin/digits") == describe_source("tfds:dtd") == []
    large = tmp_path / "large.tar.gz"
    with large.open("wb") as file:
        file.truncate(2**30)
    assert describe_source(str(large)) == []


def test_it_imports_nothing_heavy() -> None:
    program = f"import sys, commands.check; commands.check.check(); print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"  # lines before it say what was repaired


@pytest.mark.parametrize("path", ["data/raw", "data/prepared/test", ".", "data", "reports/../data/raw"])
def test_a_source_or_weights_that_overlap_with_an_output_are_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/prepared/test").mkdir(parents=True)
    (tmp_path / "data/raw").mkdir()
    (tmp_path / "reports").mkdir()
    monkeypatch.chdir(tmp_path)
    graph = {"ingest": {"outs": ["data/raw"]}, "preprocess": {"outs": ["data/prepared"]}}
    for refuse in (check_source, check_weights):
        with pytest.raises(UserError, match="but this pipeline writes data/(raw|prepared) itself"):
            refuse(path, graph)


def test_decisions_about_labels_are_checked(folder: Path, train_resnet: Callable[..., Result]) -> None:
    decisions = folder / "data/decisions.csv"
    decisions.write_text(f"pixel_hash,path,decision,label\n{'a' * 64},x.png,delete,\n", encoding="utf-8")
    result = train_resnet("check")
    assert (result.exit_code, result.stderr) == (
        1,
        "check: data/decisions.csv, line 2: the decision is 'delete', but expected is one of relabel, leave out, keep.\n",
    )
    decisions.unlink()
    assert "data/decisions.csv is missing" in train_resnet("check").stderr


def test_a_baseline_that_gate_will_not_find_is_a_note(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / ".dvc").mkdir()
    result = train_resnet("check", "-S", "evaluate.baseline=nosuch")
    assert result.exit_code == 0
    note = "`train-resnet gate` cannot use evaluate.baseline: there is no revision and no experiment 'nosuch' here"
    assert note in result.stdout + result.stderr
    for name in ("HEAD", "workspace"):
        fine = train_resnet("check", "-S", f"evaluate.baseline={name}")
        assert (fine.exit_code, "baseline:" in fine.stdout + fine.stderr) == (0, False)


def test_values_are_checked_as_dvc_exp_run_takes_them(folder: Path, train_resnet: Callable[..., Result]) -> None:
    two_classes(folder / "my photos", each=2)
    before = (folder / "params.yaml").read_bytes()
    fine = train_resnet("check", "-S", "ingest.source='my photos'", "--set-param", "train.restarts=[3]")
    assert (fine.exit_code, fine.stderr) == (0, "")
    assert fine.stdout.splitlines() == [
        "check: my photos has 2 classes ('cat', 'dog')",
        "check: params.yaml with ingest.source='my photos' train.restarts=[3], the paths in it, and DVC's files are in order.",
    ]
    wrong = train_resnet("check", "-S", "train.epochs=0", "-S", "params.yaml:ingest.source=my")
    assert wrong.exit_code == 1
    first, second = wrong.stderr.splitlines()
    assert first == "check: -S train.epochs=0: train.epochs should be greater than or equal to 1, but it is 0."
    assert second.startswith("check: -S ingest.source=my: ingest.source is my, but there is no such file or folder in ")
    assert (folder / "params.yaml").read_bytes() == before


def test_other_images_are_checked_by_their_path(folder: Path, train_resnet: Callable[..., Result]) -> None:
    outside = two_classes(folder.parent / "my photos (2)", each=2)
    fine = train_resnet("check", f"{outside}/", "-S", "train.restarts=[3]")
    assert (fine.exit_code, fine.stderr) == (0, "")
    assert fine.stdout.splitlines() == [
        f"check: {outside} has 2 classes ('cat', 'dog')",
        f"check: params.yaml with ingest.source='{outside}' train.restarts=[3], the paths in it, and DVC's files are in order.",
    ]
    for name in ("José", "фото", "a=b, [c]"):
        two_classes(folder / name, each=2)
        assert train_resnet("check", name).stdout.startswith(f"check: {name} has 2 classes"), name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "SOURCE is nowhere, but there is no such file or folder in .*: correct the path."),
        (["circle"], "SOURCE is circle, but its links lead in a circle: correct the path."),
        (
            ["http://example.org/y.zip"],
            "SOURCE is http://example.org/y.zip, but .*: only paths and s3:// are read",
        ),
        (["photos", "-S", "ingest.source=photos"], "SOURCE and -S ingest.source both name the images: leave one of them out."),
        (["photos", "-S", "params.yaml:ingest.source=a"], "SOURCE and -S ingest.source both name the images: leave one of .*"),
    ],
)
def test_a_wrong_source_is_refused_in_a_sentence(
    arguments: list[str], sentence: str, folder: Path, train_resnet: Callable[..., Result]
) -> None:
    two_classes(folder / "photos", each=2)
    (folder / "circle").symlink_to("circle")
    result = train_resnet("check", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.match(sentence, result.stderr.removeprefix("check: ").removeprefix("error: ")), result.stderr


def test_each_experiment_of_a_list_of_values_is_checked(folder: Path, train_resnet: Callable[..., Result]) -> None:
    several = train_resnet("check", "-S", "seed=1,2", "-S", "ingest.source=builtin/digits")
    assert "check: These values make several experiments: `dvc exp run` needs `--queue` for them, and " in several.stdout
    result = train_resnet("check", "-S", "train.epochs=3,0,-1", "-S", "seed=range(1,3)")
    assert result.stderr.splitlines() == [
        "check: -S train.epochs=0: train.epochs should be greater than or equal to 1, but it is 0.",
        "check: -S train.epochs=-1: train.epochs should be greater than or equal to 1, but it is -1.",
    ]


def test_what_is_wrong_is_named_where_it_is_and_in_the_order_of_the_values(
    folder: Path, train_resnet: Callable[..., Result]
) -> None:
    text = (folder / "params.yaml").read_text("utf-8")
    assert "\n  shift: 0.1 " in text
    (folder / "params.yaml").write_text(text.replace("\n  shift: 0.1 ", "\n  shift: -1 "), encoding="utf-8")
    values = ("train.epochs=0", "train.epoch=3", "seed=-1", "+other=1")
    result = train_resnet("check", *(part for value in values for part in ("-S", value)))
    assert (result.exit_code, result.stdout) == (1, "")
    for line, start in zip(
        result.stderr.splitlines(),
        (
            "check: -S train.epochs=0: train.epochs should be greater than or equal to 1, but it is 0.",
            "check: -S train.epoch=3 cannot be applied to params.yaml (",
            "check: -S seed=-1: seed must be a whole number from 0 to ",
            "check: -S +other=1: there is no parameter other; known are seed, ingest, ",
            "check: params.yaml: train.shift should be greater than or equal to 0, but it is -1",
        ),
        strict=True,
    ):
        assert line.startswith(start)


def test_a_conflict_names_the_values_that_make_it(folder: Path, train_resnet: Callable[..., Result]) -> None:
    conflict = "train.restarts is [3], but it must increase and stay below train.epochs, which is 2: "
    one = train_resnet("check", "-S", "train.epochs=20", "-S", "train.restarts=[30]")
    assert one.stderr.startswith("check: -S train.epochs=20 -S train.restarts=[30]: train.restarts is [30], but it must ")
    several = train_resnet("check", "-S", "seed=3", "-S", "train.restarts=[3]", "-S", "train.epochs=2")
    assert (several.exit_code, several.stderr.count("\n")) == (1, 1)
    assert several.stderr.startswith(f"check: -S train.restarts=[3] -S train.epochs=2: {conflict}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "train.epoch=3",
            r"-S train.epoch=3 cannot be applied to params.yaml \(.*epoch.*\): write it as NAME=VALUE with",
        ),
        ("train.epochs", r"-S train.epochs cannot be applied to params.yaml \(.*\): write it as NAME=VALUE"),
        ("train.size_schedule=[64", r"-S train.size_schedule=\[64 cannot be applied to params.yaml \(.*\): write it as"),
        ("+train.more=3", r"-S \+train.more=3: there is no parameter train.more; "),
        ("seed=range(0,3000000)", r"-S seed=1 seed=range\(0,3000000\) makes more than 1,000 experiments: check fewer at once"),
        ("", r"-S is empty: write it as NAME=VALUE"),
        ("other.yaml:a=3", r"-S names the file other.yaml, but the parameters are in params.yaml: leave the file out"),
    ],
)
def test_values_that_dvc_cannot_take_are_one_sentence(
    given: str, said: str, folder: Path, train_resnet: Callable[..., Result]
) -> None:
    result = train_resnet("check", "-S", "seed=1", "-S", given)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert re.match(f"check: {said}", result.stderr), result.stderr


def test_a_file_that_is_no_yaml_is_named_before_values_for_it(folder: Path, train_resnet: Callable[..., Result]) -> None:
    (folder / "params.yaml").write_text("seed: [", encoding="utf-8")
    assert train_resnet("check", "-S", "seed=1").stderr == train_resnet("check").stderr


@pytest.mark.parametrize("value", ["auto", True, False])
def test_several_labels_are_read_as_ingest_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.chdir(ROOT)
    table = b"file_name,labels\n0.png,cat|dog\n1.png,dog\n"
    tree = write_tree(tmp_path, {"0.png": picture(0), "1.png": picture(1), "labels.csv": table})
    text = (ROOT / "params.yaml").read_text("utf-8")
    params = with_values(text, {"ingest.source": str(tree), "ingest.multi_label": value})
    classes = "'cat|dog', 'dog'" if value is False else "'cat', 'dog'"
    several = "" if value is False else ", and several labels for each image"
    assert check._examine_source(params, {})[0] == f"{tree} has 2 classes ({classes}){several}"


def test_class_folders_are_refused_if_several_labels_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ingest.multi_label is true, but the source .* gives each image one class"):
        describe_source(str(two_classes(tmp_path / "tree", each=1)), multi_label=True)


def test_several_labels_are_not_balanced(tmp_path: Path) -> None:
    tree = two_classes(tmp_path / "tree", each=1)
    names = [str(path.relative_to(tree)) for path in sorted(tree.rglob("*.png"))]
    (tree / "labels.csv").write_text("file_name,labels\n" + "".join(f"{name},cat|dog\n" for name in names), encoding="utf-8")
    assert "several labels for each image" in describe_source(str(tree))[0]
    with pytest.raises(UserError, match="train.balance is weights, which is for images with one label each"):
        describe_source(str(tree), balance="weights")
