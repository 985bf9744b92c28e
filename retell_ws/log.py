"""Logs for people, on stderr: time, level, what happened, the call, the fact's figures. Never speech or secrets.

Levels: INFO a call begins, comes from another server, goes to one, or ends; WARNING something failed that a caller may
have noticed; DEBUG every fact, and what a function of the agent's raised, whose text is its author's and is masked.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

from .masking import mask

__all__ = ["configure"]


class _Formatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"

    def formatException(self, ei: Any) -> str:
        return mask(super().formatException(ei))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fact: dict[str, Any] = getattr(record, "fact", {})
        figures = "".join(
            f" {name}={round(value, 3) if isinstance(value, float) else value}"
            for name, value in fact.items()
            if name != "fact"
        )
        call_id = getattr(record, "call_id", "")
        head, newline, rest = text.partition("\n")
        return f"{head}{figures}{f' call={call_id}' if call_id else ''}{newline}{rest}"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: `chat` puts it above the line that is being typed."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass


def configure(level: str, *, mark: str = "") -> None:
    """Send the package's logs to stderr from `level` (`debug`, `info`, `warning`, `error`) up.

    Args:
        level: The lowest that is shown.
        mark: Which of several processes this is.
    """
    handler = _Stderr()
    shown = f"[{mark}] " if mark else ""
    handler.setFormatter(_Formatter(f"%(asctime)s %(levelname)-7s {shown}%(message)s"))
    root = logging.getLogger("retell_ws")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
