"""The compiled library: found, made, and done without."""

import hashlib
import sys
import tomllib
from pathlib import Path

import pytest

from resnet.native import library
from tests.imports import ROOT


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(library, "cpu_flags", lambda: {"avx2", "fma", "bmi2", "f16c"})
    monkeypatch.setattr(library, "_tensorflow_flags", list)
    monkeypatch.delenv(library.SWITCH, raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def compiler(folder: Path, script: str) -> str:
    program = folder / "g++"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_it_is_compiled_once_for_this_processor(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f'echo "$@" >> {elsewhere}/calls; while [ "$1" != -o ]; do shift; done; echo code > "$2"'
    monkeypatch.setenv("CXX", compiler(elsewhere, script))

    assert library.unavailable() == library.NOT_COMPILED
    assert library.compile_library() is None
    assert library.compile_library() is None

    assert library.path().read_bytes() == b"code\n" + hashlib.sha256(b"code\n").digest()
    calls = (elsewhere / "calls").read_text().splitlines()
    assert len(calls) == 2  # update.cc and fused.cc
    assert all("-march=x86-64-v3" in call for call in calls)
    assert [file.name for file in library.path().parent.iterdir()] == [library.path().name]


@pytest.mark.parametrize("length", [0, 4, 36])
def test_a_damaged_one_is_compiled_again(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setenv("CXX", compiler(elsewhere, 'while [ "$1" != -o ]; do shift; done; echo code > "$2"'))
    library.compile_library()
    whole = library.path().read_bytes()
    library.path().write_bytes(whole[:length])

    assert library.unavailable() == library.DAMAGED
    assert library.compile_library() is None

    assert library.unavailable() is None
    assert library.path().read_bytes() == whole


def test_a_compiler_that_writes_nothing_is_a_reason(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", compiler(elsewhere, "exit 0"))

    assert library.compile_library() == f"{elsewhere}/g++ ended without an error and wrote no file"


def test_a_cxx_that_is_no_program_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -O2")

    assert library.compile_library() == "CXX is 'g++ -O2', which is not the name of a program"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'fused.cc:1: fatal error: no such header' >&2; exit 1", "fused.cc:1: fatal error: no such header"),
        ("exit 1", "it gave no reason"),
    ],
)
def test_a_compiler_that_fails_is_a_reason(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str) -> None:
    monkeypatch.setenv("CXX", compiler(elsewhere, script))

    found = library.compile_library()

    assert found is not None
    assert found.endswith(f"failed: {why}")
    assert not list(elsewhere.rglob("*.so"))


def test_without_a_compiler_the_reason_says_so(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(elsewhere))

    assert library.main() == 0

    assert capsys.readouterr().out == (
        "Training will use TensorFlow's own operations, which are slower, because there is no C++ compiler (g++).\n"
    )


@pytest.mark.parametrize(
    ("flags", "option"),
    [
        ({"avx2", "fma", "bmi2", "f16c", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}, "-march=x86-64-v4"),
        ({"avx2", "fma", "bmi2", "f16c", "avx512f"}, "-march=x86-64-v3"),
        ({"avx"}, None),
    ],
)
def test_theinstructions_are_those_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], option: str | None
) -> None:
    monkeypatch.setattr(library, "cpu_flags", lambda: flags)

    assert (library.instructions() or (None,))[0] == option


def test_a_processor_without_avx2_and_the_switch_are_reasons(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "cpu_flags", lambda: {"avx"})
    assert library.compile_library() == "this processor has no AVX2"

    monkeypatch.setenv(library.SWITCH, "0")
    assert library.compile_library() == "TRAIN_RESNET_NATIVE is 0"


def test_another_source_or_tensorflow_has_another_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {library.path()}
    monkeypatch.setattr(library, "version", lambda _: "3.0.0")
    paths.add(library.path())
    other = elsewhere / "other"
    other.write_text("other")
    sources = library.SOURCES
    for number in range(len(sources)):
        monkeypatch.setattr(library, "SOURCES", (*sources[:number], other, *sources[number + 1 :]))
        paths.add(library.path())

    assert len(paths) == 2 + len(sources)


def test_every_source_counts_and_is_in_the_package(elsewhere: Path) -> None:
    """A header that the hash leaves out would be compiled once and then never again."""
    folder = library.SOURCES[0].parent
    beside = {file for pattern in ("*.cc", "*.h") for file in folder.glob(pattern)}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"][
        "resnet.native"
    ]

    assert set(library.SOURCES) == beside
    assert {file for pattern in declared for file in folder.glob(pattern)} == beside


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"text", " is damaged; `make setup` compiles it again\n"),
        (b"text" + hashlib.sha256(b"text").digest(), "); remove it, and `make setup` compiles it again\n"),
    ],
)
def test_a_file_that_is_no_library_is_named_and_not_used(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], content: bytes, advice: str
) -> None:
    library.path().parent.mkdir(parents=True)
    library.path().write_bytes(content)

    assert library._operations.__wrapped__() is None

    said = capsys.readouterr().out
    assert library.path().name in said
    assert said.endswith(advice)


def test_what_is_in_use_is_known_by_its_bytes(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.path().parent.mkdir(parents=True)
    library.path().write_bytes(b"code")
    monkeypatch.setattr(library, "load", lambda: "operations")

    assert library.in_use() == hashlib.sha256(b"code").hexdigest()[:16]

    monkeypatch.setattr(library, "load", lambda: None)
    assert library.in_use() is None


def test_an_environment_that_cannot_be_written_is_a_reason(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "lib").write_text("a file where the folder would be")
    monkeypatch.setenv("CXX", compiler(elsewhere, "exit 0"))

    found = library.compile_library()

    assert found == f"{library.path().parent} cannot be written (Not a directory)"
