"""A folder for files that are needed for a moment, such as the part that is being written.

They may hold speech, so nothing is left of them: a folder whose process was killed is deleted by the next one. Each has
a locked file in it, and a lock ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["Scratch"]

PREFIX: Final = "retell_ws-scratch-"

_LOCK: Final = "lock"


class Scratch:
    """One folder, which only its owner can read.

    Attributes:
        name: Its path.
    """

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix=PREFIX)
        # Whoever finds the file finds it locked.
        beside = Path(self.name, f"{_LOCK}.new")
        self._lock = beside.open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.replace(beside, Path(self.name, _LOCK))
        _sweep(Path(self.name).parent)

    def cleanup(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.name, ignore_errors=True)
        self._lock.close()


def _sweep(folder: Path) -> None:
    """Delete what killed processes have left."""
    for left in folder.glob(f"{PREFIX}*"):
        try:
            with Path(left, _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:  # it is used, was just made, is another user's, or has gone
            continue
