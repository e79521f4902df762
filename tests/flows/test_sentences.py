"""Which records of Prefect's log are left out."""

import logging
import sys
from types import TracebackType

import pytest
from prefect.exceptions import FailedRun

from flows.sentences import hide_tracebacks


def caught(error: Exception) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    try:
        raise error
    except Exception:
        kind, value, trace = sys.exc_info()
        assert kind is not None
        assert value is not None
        return kind, value, trace


@pytest.mark.parametrize("name", ["prefect.flow_runs", "prefect.engine"])
def test_the_traceback_of_a_failed_state_is_hidden_and_others_are_shown(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "propagate", False)
    hide_tracebacks()
    hide_tracebacks()
    assert len(logger.filters) == 1
    logger.error("Engine execution exited with unexpected exception", exc_info=caught(FailedRun("a sentence.")))
    logger.error("a defect", exc_info=caught(ValueError("x")))
    logger.error("a line")
    assert [record.getMessage() for record in caplog.records] == ["a defect", "a line"]
