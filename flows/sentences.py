"""A run that fails by a mistake of the user's logs the sentence about it, and no traceback.

The flow returns a failed state with the sentence. The engine of a served run raises an exception for such a state after the run
has ended, and logs it with its traceback, which only shows Prefect's own code.
"""

import logging

from prefect.exceptions import FailedRun

_LOGGERS = ("prefect.flow_runs", "prefect.engine")


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log record says more than the state of the run, which is logged before."""
    return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


def hide_tracebacks() -> None:
    """Installs `is_news` as a filter of Prefect's loggers; a second call changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(is_news)
