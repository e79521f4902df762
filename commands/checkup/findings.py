"""What `train-resnet doctor` examines, and what it finds."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

# Function `check_NAME` of a module beside this one, in the order of the report.
CHECKS = (
    ("machine", "processor"),
    ("machine", "installation"),
    ("machine", "tensorflow"),
    ("machine", "kernels"),
    ("project", "environment"),
    ("project", "parameters"),
    ("project", "git"),
    ("project", "dvc"),
    ("remotes", "remotes"),
    ("checkpoint_store", "checkpoint_store"),
    ("project", "prefect"),
)


@dataclass(frozen=True)
class Finding:
    """One entry of the doctor's report.

    Attributes:
        subject: what was examined.
        found: its state.
        wrong: whether something does not work, or will not.
        remedy: the command or the action that repairs it, or a useful next step.
    """

    subject: str
    found: str
    wrong: bool = False
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """All findings, each as soon as it is known. A check that fails is a finding too, and the next checks still run."""
    for module, name in CHECKS:
        try:
            yield from getattr(importlib.import_module(f"commands.checkup.{module}"), f"check_{name}")()
        except Exception as error:  # the doctor is needed when things are broken in unforeseen ways
            yield Finding(name, f"cannot be examined ({type(error).__name__}: {error})", wrong=True, remedy="make setup")
