"""The file that DVC's extension of VS Code waits for.

Its rules: the path and the content of `dvclive/vscode.py` of DVCLive 3.49, and `DVCLIVE_STEP_COMPLETED_SIGNAL_FILE` in
`extension/src/cli/dvc/constants.ts`. The extension reads experiments and plots again if the path of a changed file ends so.
"""

import json
import os
from pathlib import Path

import pytest

from tasks.training.vscode import announce_epoch, withdraw

PATH = ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"


def test_it_is_written_in_the_project_of_a_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("project/.dvc", "temp/.dvc"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "temp")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    for epoch in (1, 2):
        announce_epoch(epoch)
        assert json.loads((tmp_path / "project" / PATH).read_text("utf-8")) == {"pid": os.getpid(), "step": epoch}
    assert not (tmp_path / "temp" / PATH).exists()
    withdraw()
    assert not (tmp_path / "project" / PATH).exists()
    withdraw()


def test_outside_of_dvc_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    announce_epoch(1)
    assert list(tmp_path.iterdir()) == []
