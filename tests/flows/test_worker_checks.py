"""What a worker's machine lacks is said in one sentence."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from flows import worker_checks
from flows.worker_checks import check_machine, here, prepare_kernels
from resnet.core.errors import UserError
from resnet.native.library import NOT_COMPILED

LOCK = """\
absent-and-not-required==1.0 \\
    --hash=sha256:00
filelock=={filelock} \\
    --hash=sha256:00
    # via dvc
psutil[test]=={psutil} ; sys_platform == 'linux' \\
    --hash=sha256:00
psutil==0.1 ; sys_platform == 'win32'
"""
VERSIONS = {"filelock": "4.3.1", "psutil": "7.0.0", "prefect": "3.8.8"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        try:
            return VERSIONS[name]
        except KeyError as error:
            raise PackageNotFoundError(name) from error

    monkeypatch.setattr(worker_checks, "version", version)
    monkeypatch.setattr(worker_checks, "find_gpus", list)


def make(folder: Path, filelock: str = "4.3.1", psutil: str = "7.0.0", more: str = "", dependencies: str = "") -> Path:
    (folder / "pyproject.toml").write_text(
        f'[project]\nrequires-python = ">=3.11,<3.14"\ndependencies = ["filelock>=4", {dependencies}]\n'
    )
    (folder / "requirements.lock").write_text(LOCK.format(filelock=filelock, psutil=psutil) + more)
    return folder


def refusal(project: Path, *tags: str, python: str = "3.12.1") -> str:
    with pytest.raises(UserError) as error:
        check_machine(project, tags, python)
    return str(error.value)


def test_a_machine_with_everything_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_machine(make(tmp_path), ["cpu"], "3.12.1")
    monkeypatch.setattr(worker_checks, "find_gpus", lambda: ["0"])
    check_machine(make(tmp_path), ["gpu"], "3.13.0")
    (tmp_path / "requirements.lock").unlink()  # a revision without one
    check_machine(tmp_path, [], "3.11.0")


def test_each_thing_that_is_missing_has_its_sentence(tmp_path: Path) -> None:
    project = make(tmp_path)
    assert refusal(project, python="3.10.9") == (
        f"{here()} has Python 3.10.9, but the project needs >=3.11,<3.14: run `make setup PYTHON=python3.12` there and start "
        "the worker again."
    )
    assert refusal(project, "gpu").startswith(f"{here()} has no GPU, but this run has the tag 'gpu': start the worker on")
    start = f"{here()} has other packages than requirements.lock, so its results could differ: "
    assert refusal(make(tmp_path, psutil="6.1")).startswith(f"{start}psutil 7.0.0 instead of 6.1; run `make setup`")
    lacking = make(tmp_path, more="tensorflow==2.21.0 \\\n", dependencies='"tensorflow>=2.21"')
    assert refusal(lacking).startswith(f"{start}no tensorflow; run `make setup`")
    many = make(tmp_path, "4.4", "8", "prefect==3.9\nkeras==3.15.1\nnumpy==2.4\n", '"keras", "numpy"')
    assert "filelock 4.3.1 instead of 4.4, psutil 7.0.0 instead of 8, prefect 3.8.8 instead of 3.9 and 2 more;" in refusal(many)


def test_kernels_are_compiled_for_the_code_of_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker_checks, "unavailable", lambda: NOT_COMPILED)
    monkeypatch.setattr(worker_checks, "compile_library", lambda: "there is no C++ compiler (g++)")
    prepare_kernels()
    assert capsys.readouterr().out == (
        f"{here()} trains with TensorFlow's own kernels, which are slower and round differently: there is no C++ compiler "
        "(g++)\n"
    )
    monkeypatch.setattr(worker_checks, "unavailable", lambda: "this processor has no AVX2")
    prepare_kernels()
    assert capsys.readouterr().out == ""
