"""The folder of a validation: its own, and deleted at its end.

One that is killed deletes nothing. The next one does: a lock on the folder, which the kernel gives back with its owner,
tells whether somebody is still there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["PREFIX", "YOUNG_S", "own_folder"]

PREFIX: Final = "retell_ws-validate-"

YOUNG_S: Final = 60.0
"""Seconds in which a folder may not be locked yet, or what a killed validation has started may still write there."""


@contextmanager
def own_folder() -> Iterator[Path]:
    """Have a folder that nobody else reads, while the block lasts. What others have left is deleted first."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        lock = _locked(Path(folder))
        try:
            yield Path(folder)
        finally:
            if lock is not None:
                os.close(lock)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        if _is_ours_and_old(folder) and (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _is_ours_and_old(folder: Path) -> bool:
    with suppress(OSError):
        found = folder.lstat()  # anybody may put a link there
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and time.time() - found.st_mtime > YOUNG_S
    return False


def _locked(folder: Path) -> int | None:
    """Lock it; None when somebody else has, or locks are none of this file system's."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
