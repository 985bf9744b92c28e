"""Whether it pays to fill the provider's prompt cache with the beginning of a request. Pure: time is given.

The beginning is model, tools and instructions: what all calls of an agent share. The provider keeps it for five minutes
after each time it was asked for. A warm-up costs as much as writing that entry, and a first question would write it as
well, so it only ever buys time; where the entry is there already, or is too short to be kept, it buys nothing.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ..request import ModelRequest

__all__ = ["Prefix", "Prefixes", "prefix_of"]

LEAST_TOKENS: Final = 512
"""The shortest beginning that the quickest models' cache keeps; other models keep none below twice that."""

BYTES_A_TOKEN: Final = 4
"""To estimate tokens: counting them would be a request of its own."""

FRESH_S: Final = 240.0
"""The cache's five minutes, less a minute for the way and for clocks."""

MAX_PREFIXES: Final = 256
"""Beginnings that are remembered: those of all agents and stages. Instructions that are made for each call fall out."""

Prefix: TypeAlias = tuple[object, ...]
"""What tells two beginnings apart."""


def prefix_of(request: ModelRequest, model: str) -> Prefix:
    """Name the beginning of a request.

    Args:
        request: The request.
        model: The model asked where it names none.
    """
    tools = [(tool.name, tool.description, bytes(tool.input_schema)) for tool in request.tools]
    return (request.model or model, request.system, *tools)


class Prefixes:
    """The beginnings that were asked for of late."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: dict[Prefix, float] = {}  # in order of the times, in seconds

    def __len__(self) -> int:
        """Count those remembered."""
        return len(self._asked)

    def asked(self, prefix: Prefix, now: float) -> None:
        """Note a request that begins so."""
        self._asked.pop(prefix, None)
        self._asked[prefix] = now
        if len(self._asked) > MAX_PREFIXES:
            del self._asked[next(iter(self._asked))]

    def claim(self, request: ModelRequest, prefix: Prefix, now: float) -> bool:
        """Tell whether a warm-up should be made; it counts as a request from then on, so that nobody else makes it."""
        last = self._asked.get(prefix)
        if last is not None and now - last < FRESH_S:
            return False
        if not request.system or _bytes(request) < LEAST_TOKENS * BYTES_A_TOKEN:
            return False
        self.asked(prefix, now)
        return True

    def release(self, prefix: Prefix) -> None:
        """Note that a warm-up came to nothing."""
        self._asked.pop(prefix, None)


def _bytes(request: ModelRequest) -> int:
    texts = [request.system, *[text for tool in request.tools for text in (tool.name, tool.description)]]
    schemas = [len(bytes(tool.input_schema)) for tool in request.tools]
    return sum([len(text.encode()) for text in texts]) + sum(schemas)
