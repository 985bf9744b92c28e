"""What strangers wrote, as text that does nothing to a terminal."""

from __future__ import annotations

from typing import Final

__all__ = ["one_line", "plain"]

KEPT: Final = "\n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
"""Not printable to Python, but harmless: they are ours, before units."""


def plain(text: str) -> str:
    """Put a blank in the place of each character that a terminal could obey, but for line ends. The length stays."""
    return "".join(each if each.isprintable() or each in KEPT else " " for each in text)


def one_line(text: str) -> str:
    """Give a text as one line that does nothing to a terminal: a tool's result may hold whatever the web has."""
    return " ".join(plain(text).split())
