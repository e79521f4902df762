"""Prefect: the stages of `dvc.yaml` as a flow, each run an experiment. Imports `tasks/`; nothing imports this.

Importing any module of it settles what Prefect reads from the environment when it is imported itself.
"""

import os

# Prefect's client reports its use unless told not to; the server's own switch is in pyproject.toml.
os.environ.setdefault("DO_NOT_TRACK", "1")
