"""Where a command that writes one document puts it."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import UsageError

__all__ = ["put"]


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
