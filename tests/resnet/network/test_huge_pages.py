"""The restart with an allocator that asks for huge pages."""

import os
import subprocess
import sys
from pathlib import Path

from tests.imports import ROOT


def test_huge_pages_are_asked_for_once_and_the_arguments_stay() -> None:
    program = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "from resnet.network.huge_pages import use_huge_pages; use_huge_pages()\n"
        "print(os.environ.get('GLIBC_TUNABLES'), sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "an argument"]
    for setting in ("glibc.malloc.check=0", None):
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        environment |= {"GLIBC_TUNABLES": setting} if setting else {}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        asked = "glibc.malloc.hugetlb=1" if pages.exists() and "[madvise]" in pages.read_text("utf-8") else None
        assert result.stdout.strip() == f"{setting or asked} ['an argument']"
