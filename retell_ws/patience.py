"""How long the caller is left in silence while an answer is made. Pure, the clock is an argument.

Retell has no deadline for an answer (protocol §4.3.7): without ours a stuck model is a mute agent. Only *text*
counts as progress; a provider's keep-alive pings go on happily while nothing is generated.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .settings import Settings

__all__ = ["Patience", "Verdict"]

Verdict: TypeAlias = Literal["wait", "hold", "no_text", "stalled", "too_long"]
"""`wait`, say the `hold`ing phrase, or give up for one of three reasons."""


class Patience:
    """The deadlines of one turn.

    Args:
        settings: `holding_ms`, `first_text_ms`, `stall_ms` and `turn_s` are read.
        now: The time in seconds at which the answer was asked for.

    Attributes:
        next_look: When `verdict` should be asked again.
    """

    __slots__ = ("_end", "_first_text", "_hold", "_last_text", "_stall_s", "next_look")

    def __init__(self, settings: Settings, now: float) -> None:
        self._hold: float | None = now + settings.holding_ms / 1000
        self._first_text = now + settings.first_text_ms / 1000
        self._stall_s = settings.stall_ms / 1000
        self._end = now + settings.turn_s
        self._last_text: float | None = None
        # Never later than one gap from now: text may come at any moment, and its gap is then the next limit.
        self.next_look = min(self._hold, self._first_text, self._end, now + self._stall_s)

    def progressed(self, now: float) -> None:
        """Note that text came."""
        self._last_text = now

    def verdict(self, now: float) -> Verdict:
        """Judge the silence so far, and set `next_look`."""
        if now >= self._end:
            return "too_long"
        if self._last_text is not None:
            limit = self._last_text + self._stall_s
            if now >= limit:
                return "stalled"
        else:
            limit = self._first_text
            if now >= limit:
                return "no_text"
            if self._hold is not None and now >= self._hold:
                self._hold = None
                self.next_look = min(limit, self._end, now + self._stall_s)
                return "hold"
            limit = min(limit, self._hold or limit, now + self._stall_s)
        self.next_look = min(limit, self._end)
        return "wait"
