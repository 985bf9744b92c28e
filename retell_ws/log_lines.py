"""How one record of the log is written: as a line for people, or as a JSON object for collectors.

What a record holds cannot break its line: in text what is not printable is escaped, and the lines of an exception are
set in; in JSON the encoder sees to it, in ASCII. Nothing of a record is longer than its bound.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
import traceback
from collections.abc import Iterator
from typing import Any, Final

from .masking import mask

__all__ = ["JsonLines", "TextLines"]

MAX_EVENT: Final = 4096
"""Characters of what happened."""

MAX_VALUE: Final = 256
"""Characters of one value of a fact, and of a call's id."""

MAX_EXCEPTION: Final = 16 * 1024
"""Characters of an exception: the last ones, which say what it is."""

MAX_CHAIN: Final = 8
"""Exceptions that are told of one: its causes, and what a group holds."""

CALLBACK: Final = "Exception in callback"
"""How the loop begins to say that a callback has raised; then it shows what that was called with."""

EXECUTING: Final = "Executing "
"""How a loop in debug mode begins to say that something was slow; then it shows that, and a task with its result."""

_TOOK = re.compile(r" took \d+\.\d+ seconds\Z")


class TextLines(logging.Formatter):
    """Lines for people.

    Args:
        mark: Which of several processes this is.
        quotes: The text of an exception may be shown, masked. Otherwise its type and its frames are, because the text
            may quote what was said.
    """

    def __init__(self, mark: str = "", *, quotes: bool = False) -> None:
        super().__init__()
        self._mark = mark
        self._quotes = quotes

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        mark = f"[{self._mark}] " if self._mark else ""
        figures = "".join(f" {name}={value}" for name, value in _figures(record).items() if name != "fact")
        call = f" call={call_id}" if (call_id := _call_id(record)) else ""
        told = _printable(f"{mark}{self.event(record)}{figures}{call}")
        raised = "".join(f"\n    {_printable(line)}" for line in self.exception(record).split("\n") if line)
        return f"{self.formatTime(record)} {record.levelname:<7} {told}{raised}"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Give the time as RFC 3339 has it, in UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"

    def event(self, record: logging.LogRecord) -> str:
        """Say what happened."""
        text = record.getMessage()
        if record.name == "asyncio":
            may_quote = self._quotes and not text.startswith(EXECUTING)
            text = mask(text[: 2 * MAX_EVENT]) if may_quote else _loop_says(text)
        return _whole(text, MAX_EVENT)

    def exception(self, record: logging.LogRecord) -> str:
        """Tell the exception; empty without one."""
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        if not self._quotes:
            return "\n".join(_outline(record.exc_info[1]))[-MAX_EXCEPTION:]
        text = self.formatException(record.exc_info)
        return _whole(mask(text[-2 * MAX_EXCEPTION :])[-MAX_EXCEPTION:], MAX_EXCEPTION)


class JsonLines(TextLines):
    """JSON objects, one a line: `time`, `level`, `logger`, `event`, and where there is one `call_id`, `process`, `fact`
    and `exception`. The arguments are those of `TextLines`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        told = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self.event(record),
        }
        about = {
            "call_id": _call_id(record),
            "process": self._mark,
            "fact": _figures(record),
            "exception": self.exception(record),
        }
        return json.dumps(told | {name: value for name, value in about.items() if value}, separators=(",", ":"))


def _loop_says(text: str) -> str:
    """Leave out the callback and the task that the loop shows: with them come arguments, results and an exception's
    text.
    """
    if text.startswith(EXECUTING):
        took = _TOOK.search(text)
        return f"{EXECUTING}…{took[0] if took else ''}"
    return CALLBACK if text.startswith(CALLBACK) else text.partition("\n")[0]


def _call_id(record: logging.LogRecord) -> str:
    return _whole(str(getattr(record, "call_id", "")), MAX_VALUE)


def _figures(record: logging.LogRecord) -> dict[str, Any]:
    """Give the fact with values that any reader of JSON takes."""
    return {_whole(str(name), MAX_VALUE): _figure(value) for name, value in getattr(record, "fact", {}).items()}


def _figure(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3) if math.isfinite(value) else str(value)
        case None | bool() | int():
            return value
        case str():
            return _whole(value, MAX_VALUE)
        case list() | tuple():
            return [_figure(each) for each in value]
        case _:
            return _whole(str(value), MAX_VALUE)


def _whole(text: str, limit: int) -> str:
    """Cut a text, and put a mark in place of half a surrogate, which no other program's JSON reader takes."""
    text = text if len(text) <= limit else f"{text[:limit]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _printable(text: str) -> str:
    """Escape line ends, colours, and whatever else a terminal or a pager would obey."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def _outline(exc: BaseException) -> Iterator[str]:
    """Tell an exception, what it came from and what it holds, without their texts."""
    waiting, seen = [exc], set[int]()
    while waiting and len(seen) < MAX_CHAIN:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        for frame in traceback.extract_tb(each.__traceback__):
            yield f"{frame.filename}:{frame.lineno} in {frame.name}"
        kind = type(each)
        yield f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
        came_from = each.__cause__ if each.__suppress_context__ else each.__context__
        waiting += [one for one in (*getattr(each, "exceptions", ()), came_from) if one is not None]
