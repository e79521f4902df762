"""An ext4 file system in a file, whose power can be cut: what was not synced to it is lost.

The cut is ext4's own shutdown without a flush of the journal, as the program `godown` of xfstests uses it: from that moment
nothing more reaches the file. Mounting it again replays the journal, as the start after a power cut does.

This needs root, a loop device and mkfs.ext4.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN of linux/ext4.h
_NO_FLUSH = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH

# ext4's defaults, and its least safe settings: names of files reach the disk every second and with each sync, their content
# only by a sync of their own. A file that was renamed without one is empty or has zeros after the cut.
SETTINGS = ("defaults", "data=writeback,noauto_da_alloc,commit=1")


class CutDisk:
    """A mounted file system.

    Args:
        image: the file that holds it; it is made if it does not exist.
        folder: where it is mounted; it is made, too.
        megabytes: the size of a new one.
    """

    def __init__(self, image: Path, folder: Path, megabytes: int = 64) -> None:
        self._image = image
        self.folder = folder
        self._mounted = False
        folder.mkdir(exist_ok=True)
        if not image.exists():
            image.touch()
            os.truncate(image, megabytes * 2**20)
            _run("mkfs.ext4", "-q", "-F", str(image))

    def mount(self, settings: str = SETTINGS[0]) -> None:
        """Mounts it with ext4's settings."""
        _run("mount", "-t", "ext4", "-o", f"loop,{settings}", str(self._image), str(self.folder))
        self._mounted = True

    def cut(self) -> None:
        """Cuts the power. Processes that use the file system get errors; they must be killed before `unmount`."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_FLUSH)
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmounts it. The last files of killed processes may be open a moment longer."""
        deadline = time.monotonic() + 20
        while self._mounted:
            ended = subprocess.run(["umount", str(self.folder)], check=False, capture_output=True, text=True)
            self._mounted = ended.returncode != 0
            assert time.monotonic() < deadline, ended.stderr
            time.sleep(0.05 * self._mounted)

    def close(self) -> None:
        """Unmounts it, even if it is in use."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
            self._mounted = False


def can_cut() -> bool:
    """Whether this machine can mount such a file system."""
    if os.geteuid() or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            disk = CutDisk(Path(folder) / "image", Path(folder) / "disk", 8)
            disk.mount()
            disk.unmount()
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
