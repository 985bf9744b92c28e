"""The settings, as they would be served with here."""

from __future__ import annotations

import asyncio

from . import files
from .book import Book
from .machine import machine, versions
from .settled import told
from .setup import Setup

__all__ = ["check"]


async def check(setup: Setup, book: Book) -> None:
    """Say what can be said without starting anything, and read the files that are named."""
    here, found = await asyncio.to_thread(lambda: (machine(), versions()))
    for finding in told(setup.settings, here, setup.url):
        book.put(finding.name, finding.outcome, finding.seen, finding.advice)
    await files.check(setup, book)
    book.put("versions", "info", ", ".join(f"{name} {number}" for name, number in found.items()))
