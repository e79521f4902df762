"""Say what is wrong with the machine or the project.

Each problem is printed with its remedy. The command examines the machine, Python and its packages, TensorFlow and GPUs, the
shell, parameters, Git, DVC with its cache and remotes, the store of checkpoints, the disk, and Prefect's server. It changes
nothing. The exit code is 1 if something is wrong.
"""

from commands.checkup.findings import Finding, findings
from resnet.core.words import agreeing

_WIDTH = 12  # of the column of subjects


def doctor() -> int:
    """Prints the report.

    Returns:
        1 if something is wrong, otherwise 0.
    """
    wrong = 0
    for finding in findings():
        print(line(finding), flush=True)
        wrong += finding.wrong
    print(f"\n{wrong} of these {agreeing(wrong, 'is', 'are')} wrong." if wrong else "\nNothing is wrong.")
    return 1 if wrong else 0


def line(finding: Finding) -> str:
    """A finding as the report prints it."""
    mark = "WRONG" if finding.wrong else "ok"
    text = f"{mark:5} {finding.subject:{_WIDTH}} {finding.found}"
    return f"{text}\n{'':{_WIDTH + 7}}-> {finding.remedy}" if finding.remedy else text
