"""What importing `flows` sets, and the mode of Prefect's home folder."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flows import restrict_to_owner
from tests.imports import ROOT

NAMES = ("DO_NOT_TRACK", "PREFECT_CLIENT_MAX_RETRIES")


def test_the_home_of_prefect_is_accessible_to_its_owner_only(tmp_path: Path) -> None:
    restrict_to_owner(tmp_path / "new" / "home")
    (tmp_path / "old").mkdir(mode=0o755)
    restrict_to_owner(tmp_path / "old")
    for folder in (tmp_path / "new" / "home", tmp_path / "old"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_importing_flows_restricts_the_home_that_is_set(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "import flows"], cwd=ROOT, env=os.environ | {"PREFECT_HOME": str(tmp_path / "home")}, check=True
    )
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_importing_flows_corrects_what_is_inherited(tmp_path: Path) -> None:
    given = {"PREFECT_HOME": str(tmp_path), "SHELL": "/usr/sbin/nologin", "no_proxy": "", "NO_PROXY": "example.org"}
    program = "import os, flows; print(os.environ['SHELL'], os.environ['NO_PROXY'], os.environ['no_proxy'])"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | given, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["/bin/sh", *["example.org,127.0.0.1,localhost,::1"] * 2]


@pytest.mark.parametrize(("given", "expected"), [({}, "1 8"), ({"PREFECT_CLIENT_MAX_RETRIES": "2"}, "1 2")])
def test_importing_flows_sets_defaults_for_prefect(tmp_path: Path, given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    program = f"import os, flows; print(*[os.environ[name] for name in {NAMES}])"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment | given | {"PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == expected.split()
