"""Logs on stderr: time, level, what happened, the call, the fact's figures. Never speech or secrets.

Levels: INFO a call begins, comes from another server, goes to one, or ends; WARNING something failed that a caller may
have noticed; DEBUG every fact, and what a function of the agent's raised, whose text is its author's and is masked.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Literal, TextIO

from .log_lines import JsonLines, TextLines

__all__ = ["configure"]


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: `chat` puts it above the line that is being typed."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass

    def handleError(self, record: logging.LogRecord) -> None:
        """Say which line could not be written. The library would show its arguments, which may be anything."""
        told = f"a line of the log cannot be written: {record.filename}:{record.lineno}"
        made = {"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR", "msg": told}
        with suppress(OSError, ValueError):  # stderr itself is gone
            sys.stderr.write(self.format(logging.makeLogRecord(made)) + self.terminator)


def configure(level: str, *, mark: str = "", form: Literal["text", "json"] = "text") -> None:
    """Send the package's logs to stderr from `level` (`debug`, `info`, `warning`, `error`) up.

    So are the warnings of what else logs in this process (the event loop, the agent's own code), unless somebody has
    already said where they go.

    Args:
        level: The lowest that is shown.
        mark: Which of several processes this is.
        form: A line for people, or a JSON object.
    """
    handler = _Stderr()
    lines = JsonLines if form == "json" else TextLines
    handler.setFormatter(lines(mark, quotes=level == "debug"))
    package = logging.getLogger("retell_ws")
    package.handlers[:] = [handler]
    package.setLevel(level.upper())
    package.propagate = False
    everybody = logging.getLogger()
    if all(isinstance(each, _Stderr) for each in everybody.handlers):
        everybody.handlers[:] = [handler]
