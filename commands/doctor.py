"""Looks at all that the project stands on, and says what is wrong and what mends it: `train-resnet doctor`.

Machine, Python and packages, TensorFlow and GPUs, parameters, Git, DVC with its cache, disk, Prefect's server. Nothing is
changed. The exit code is 1 if something is wrong.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator

from commands.checkup.finding import Finding

_LOOKS = (
    ("machine", "processor"),
    ("machine", "installation"),
    ("machine", "tensorflow"),
    ("project", "parameters"),
    ("project", "git"),
    ("project", "dvc"),
    ("project", "prefect"),
)
_WIDTH = 12  # of the names of what is looked at


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="train-resnet doctor", description=(__doc__ or "").splitlines()[0])
    parser.parse_args(arguments)
    wrong = 0
    for finding in findings():
        print(line(finding), flush=True)
        wrong += finding.wrong
    print(f"\n{wrong} of these are wrong." if wrong > 1 else "\n1 of these is wrong." if wrong else "\nNothing is wrong.")
    return 1 if wrong else 0


def findings() -> Iterator[Finding]:
    """All of them, as they come in. A look that fails is a finding too, and does not keep the others from theirs."""
    for module, name in _LOOKS:
        try:
            yield from getattr(importlib.import_module(f"commands.checkup.{module}"), f"check_{name}")()
        except Exception as error:  # the doctor is called when things are broken, in ways that nobody thought of
            yield Finding(name, f"cannot be looked at ({type(error).__name__}: {error})", wrong=True, mend="make setup")


def line(finding: Finding) -> str:
    """A finding as it is printed."""
    mark = "WRONG" if finding.wrong else "ok"
    text = f"{mark:5} {finding.subject:{_WIDTH}} {finding.found}"
    return f"{text}\n{'':{_WIDTH + 7}}-> {finding.mend}" if finding.mend else text


if __name__ == "__main__":
    sys.exit(main())
