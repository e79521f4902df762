"""Whether TensorFlow can train on the GPUs of this machine. `make setup` runs this module where it finds NVIDIA's driver."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

from commands.checkup.findings import Finding
from resnet.network.cuda import OLDEST_CUDNN, gpus_of_driver, obstacle, silence, slices
from resnet.network.occupancy import used_by_others

_SECONDS = 300.0  # the first step on a new kind of GPU compiles kernels
# In processes of their own: a driver that does not fit may end the process.
_UNOPENED = """
import json
from resnet.network.cuda import open_cusolver, unopened
open_cusolver()
print(json.dumps(unopened()))
"""
_OLD_CUDNN = """
import json
from resnet.network.cuda import old_cudnn, unopened
unopened()  # TensorFlow's loader then has opened cuDNN, by its own search path
version = old_cudnn()
print(json.dumps([version] if version else []))
"""
_STEPS = """
import json
from resnet.network.startup import start_tensorflow
start_tensorflow()
from resnet.network.trial_step import failures
print(json.dumps(failures("GPU:0")))
"""
_PRECISIONS = ("bfloat16", "float16", "float32")  # the fastest first
_NONE = "none; training is on the processor"
_DRIVER = "repair NVIDIA's driver, or train on the processor with make setup GPU=0"
_LONGER = {"TF_CPP_VMODULE": "gpu_device=1,cuda_platform=1", "TF_CPP_MIN_LOG_LEVEL": "0"}


def examine(seen: list[str]) -> Iterator[Finding]:
    """Compares the GPUs that the driver lists with those that TensorFlow sees, and tries a step in each precision.

    Args:
        seen: the names of the GPUs that TensorFlow sees.
    """
    present = gpus_of_driver()
    if not present and not seen:
        why = silence()
        yield Finding("gpu", f"none, because {why}" if why else _NONE, wrong=why is not None, remedy=_DRIVER if why else "")
    elif not seen:
        yield _unseen(present)
    else:
        count = _count(seen, present)
        failures = _output(_STEPS)
        yield _failing(count, failures) if failures else Finding("gpu", f"TensorFlow sees {count}")
        for clause in used_by_others(len(seen)):
            found, _, remedy = clause.partition(": ")
            yield Finding("gpu", found, remedy=remedy)


def _failing(count: str, failures: str) -> Finding:
    old = _output(_OLD_CUDNN)
    if re.fullmatch(r"\d+(\.\d+)+", old, re.ASCII):
        needed = ".".join(map(str, OLDEST_CUDNN))
        found = f"TensorFlow sees {count}, but opens cuDNN {old}, and it needs {needed} or later"
        return Finding("gpu", found, wrong=True, remedy="take the folder of that cuDNN out of LD_LIBRARY_PATH")
    found = f"TensorFlow sees {count}, but a training step fails: {failures}"
    return Finding("gpu", found, wrong=True, remedy=_remedy(failures))


def _count(seen: list[str], present: list[str]) -> str:
    divided = slices()
    if len(divided) > 1:
        return f"{', '.join(seen)}; of the {len(divided)} MIG slices CUDA gives a process one, CUDA_VISIBLE_DEVICES chooses it"
    if len(seen) < len(present):
        return f"{len(seen)} of {len(present)}; is CUDA_VISIBLE_DEVICES set?"
    return ", ".join(seen)


def _unseen(present: list[str]) -> Finding:
    names = ", ".join(present)
    why, _, remedy = (obstacle() or "").partition(": ")
    if not why:
        closed = _output(_UNOPENED)
        why = f"it cannot open {closed}" if closed else "the libraries open, but the driver gives it no GPU"
        settings = " ".join(f"{name}={value}" for name, value in _LONGER.items())
        again = f"{settings} python -c 'import tensorflow as tf; tf.config.list_physical_devices()' says more"
        remedy = "make clean && make setup GPU=1" if closed else again
    return Finding("gpu", f"TensorFlow does not see {names}, because {why}", wrong=True, remedy=remedy)


def _remedy(failures: str) -> str:
    """What helps: another precision, if some work and only some fail."""
    fine = [name for name in _PRECISIONS if not re.search(rf"\b{name}: ", failures)]
    if 0 < len(fine) < len(_PRECISIONS):
        return f"set train.precision to {fine[0]}"
    return "make clean && make setup GPU=1, or GPU=0 to train on the processor"


def _output(program: str) -> str:
    """What a program lists, as one text; also how it failed. Empty if it lists nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return "; ".join(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Prints what is found about the GPUs. Returns 1 if training would not be on a GPU, or if something is wrong."""
    from resnet.network.startup import start_tensorflow

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    seen = start_tensorflow()
    found = list(examine(seen))
    for finding in found:
        remedy = finding.remedy or ("" if seen else "make setup GPU=0 does without")
        print(f"{finding.found}.{f' Next: {remedy}.' if remedy else ''}")
    return int(not seen or any(finding.wrong for finding in found))


if __name__ == "__main__":
    sys.exit(main())
