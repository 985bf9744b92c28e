"""Who has answered a roll call."""

from __future__ import annotations

import asyncio
from typing import Final

from ..views import ServerView

__all__ = ["MAX_PRESENT", "Roll"]

MAX_PRESENT: Final = 200
"""Servers that a roll call hears."""


class Roll:
    """One roll call.

    Attributes:
        present: The answers, by server.
        complete: Set when nobody is missing.
    """

    def __init__(self) -> None:
        self.present: dict[str, ServerView] = {}
        self.complete = asyncio.Event()
        self._expected = MAX_PRESENT

    def expect(self, number: int) -> None:
        """Say how many will answer."""
        self._expected = min(number, MAX_PRESENT)
        self._look()

    def hear(self, server: str, view: ServerView) -> bool:
        """Take an answer.

        Returns:
            Whether it was one that was missing.
        """
        if server in self.present or len(self.present) >= self._expected:
            return False
        self.present[server] = view
        self._look()
        return True

    def _look(self) -> None:
        if len(self.present) >= self._expected:
            self.complete.set()
