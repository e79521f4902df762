"""Which GPUs this process may use, their memory, and whether other processes use them, as NVIDIA's driver says."""

import os
import re
from dataclasses import dataclass

from resnet.network.cuda import nvidia_smi

_MUCH = 0.1  # share of the memory: a desktop or an idle context needs less
_FIELDS = "index,uuid,name,memory.used,memory.total,compute_mode,mig.mode.current"


@dataclass(frozen=True)
class Gpu:
    """A GPU that the driver lists.

    Attributes:
        index: by which `nvidia-smi` names it. CUDA counts as it does if all GPUs are of one kind.
        uuid: such as "GPU-5c3e...".
        name: such as "NVIDIA L4".
        used_mib: memory in use, by all processes.
        total_mib: memory.
        mode: "Default", "Exclusive_Process" or "Prohibited".
        sliced: whether MIG divides it. The memory is then that of all slices together.
    """

    index: int
    uuid: str
    name: str
    used_mib: int
    total_mib: int
    mode: str
    sliced: bool

    def is_busy(self, processes: int) -> bool:
        """Whether other processes compute on it, or hold much of its memory."""
        return processes > 0 or self.used_mib > _MUCH * self.total_mib


def gpus() -> list[Gpu]:
    """The GPUs that the driver lists with their memory; none if it does not answer or does not know the memory."""
    lines, _ = nvidia_smi(f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits")
    found = []
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(_FIELDS.split(",")) or not re.fullmatch(
            r"\d+ \d+ \d+", " ".join((parts[0], *parts[3:5])), re.ASCII
        ):
            continue
        index, uuid, name, used, total, mode, mig = parts
        if name.isprintable() and int(total):
            found.append(Gpu(int(index), uuid, name, int(used), int(total), mode, mig == "Enabled"))
    return found


def usable() -> list[Gpu]:
    """Those of `gpus` that CUDA_VISIBLE_DEVICES leaves to this process, in its order. Slices are left out."""
    listed = [gpu for gpu in gpus() if not gpu.sliced]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return listed
    chosen = []
    for entry in (part.strip() for part in named.split(",")):
        gpu = next((one for one in listed if entry == str(one.index) or (len(entry) > 4 and one.uuid.startswith(entry))), None)
        if gpu is None:
            break  # as CUDA does: what follows the first entry that is no GPU does not count
        chosen.append(gpu)
    return chosen


def free_bytes(devices: int = 1) -> int | None:
    """The free memory of the GPU that has the least of it, of those that training takes; None if the driver does not say.

    Args:
        devices: how many of the usable GPUs training takes, the first ones.
    """
    if "CUDA_VISIBLE_DEVICES" not in os.environ and any(gpu.sliced for gpu in gpus()):
        return None  # CUDA may give this process a slice
    free = [gpu.total_mib - gpu.used_mib for gpu in usable()[:devices]]
    return min(free) * 2**20 if len(free) == devices else None


def used_by_others(devices: int = 1) -> list[str]:
    """One clause for each GPU that training would share with other processes.

    To be called before TensorFlow uses the GPUs: afterwards the memory of this process would count, too.

    Args:
        devices: how many of the usable GPUs training takes, the first ones.
    """
    lines, _ = nvidia_smi("--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader")
    running = [line.partition(",")[0].strip() for line in lines if line.partition(",")[2].strip() != str(os.getpid())]
    return [_clause(gpu, running.count(gpu.uuid)) for gpu in usable()[:devices] if gpu.is_busy(running.count(gpu.uuid))]


def _clause(gpu: Gpu, processes: int) -> str:
    who = {0: "others use", 1: "another process uses"}.get(processes, f"{processes} other processes use")
    held = f"{who} {gpu.name} (GPU {gpu.index}) and {gpu.used_mib / 1024:.1f} of its {gpu.total_mib / 1024:.1f} GiB"
    if gpu.mode == "Exclusive_Process":
        return f"{held}, and its compute mode is Exclusive_Process, which lets nobody else in: wait for the end of that process"
    return f"{held}: training may be slower or find too little memory; CUDA_VISIBLE_DEVICES chooses another GPU"
