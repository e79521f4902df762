"""Huge memory pages for the allocator."""

import os
import platform
import sys
from pathlib import Path


def use_huge_pages() -> None:
    """Restarts the program in the same process, with an allocator that asks for pages of 2 MB instead of 4 kB.

    A training step allocates and frees gigabytes, and each allocation gets new pages. At 224 pixels, batch size 32 and
    bfloat16, a step with huge pages took 0.93 of the processor time and had a sixth of the page faults. The restart is needed
    because glibc (2.35 and later) reads the setting only when a process starts. If GLIBC_TUNABLES is set, nothing is done.
    """
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ or not pages.exists():
        return
    if "[madvise]" in pages.read_text("utf-8"):
        sys.stdout.flush()
        tunables = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], tunables)
