"""One process at a time: a lock file for every device."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

from .errors import AcceleratorError, DeviceBusy

FOLDERS = (Path("/run/lock"), Path("/tmp"))
"""Where the file lies: the first of these that can be written. Not what ``TMPDIR`` says, which may
differ between two processes."""


class DeviceLock:
    """Held from creation until :meth:`release`; the system releases it for a killed process.

    Parameters
    ----------
    tag : PYNQ's name of the device.

    Raises
    ------
    DeviceBusy : another process, or another Accelerator of this one, holds it.
    """

    def __init__(self, tag: str) -> None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", tag)
        folder = next((path for path in FOLDERS if os.access(path, os.W_OK)), FOLDERS[-1])
        self.path = folder / f"vitgen-{name}.lock"
        self._file: int | None = _open(self.path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 16, 0).decode(errors="replace").strip()
            self.release()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            mine = holder == str(os.getpid())
            raise DeviceBusy(
                "Another Accelerator of this process holds the device."
                if mine
                else f"Process {holder or 'unknown'} uses the accelerator.",
                "Close it first: `.close()`, or leave its `with` block."
                if mine
                else "Wait for it or end it.",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in; the second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            # Not with O_CREAT at once: the kernel refuses that for another user's file in /tmp.
            return os.open(path, flags)
        except FileNotFoundError:
            return os.open(path, flags | os.O_CREAT, 0o666)
    except OSError as error:
        raise AcceleratorError(
            f"The lock file {path} cannot be opened: {error.strerror}.",
            "Run as the user who drives the board, root under PYNQ.",
        ) from error
