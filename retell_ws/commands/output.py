"""Where a command that writes one document puts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import UsageError

__all__ = ["put", "put_whole"]


def put(text: str, out: Path | None) -> int:
    """Write a document.

    Args:
        text: The document.
        out: The file; None: stdout.

    Returns:
        The exit status.

    Raises:
        UsageError: The file cannot be written.
    """
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    return 0


def put_whole(text: str, out: Path) -> None:
    """Write a document in the place of an older one: whoever looks at that never sees half of this.

    What is there and no file, as /dev/stdout, is written to: nothing may take its place.

    Args:
        text: The document.
        out: The file.

    Raises:
        UsageError: The file cannot be written.
    """
    if out.exists() and not out.is_file():
        put(text, out)
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        os.replace(beside, out)
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
