"""How long a turn may stay silent, and what happens then. Pure: time is given.

Retell never gives up on a silent response, so the watchdog is ours (protocol §4.3.7). Its clock is fed by text, and by
tool calls that are being written: a provider's keep-alive pings go on happily while nothing is generated. While tools
run it only sees to it that the caller is not left in silence, because each tool has a deadline of its own.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from .settings import Settings

__all__ = ["Patience", "Verdict"]

Verdict: TypeAlias = Literal["wait", "hold", "no_text", "stalled", "too_long"]
"""`wait`, say a `hold`ing phrase, or give up for one of three reasons."""

HOLD_AGAIN: Final = 2
"""The silence before each further holding phrase, as a multiple of the first."""


class Patience:
    """The deadlines of one turn.

    Args:
        settings: `holding_ms`, `first_text_ms`, `stall_ms` and `turn_s` are read.
        now: The time in seconds at which the answer was asked for.

    Attributes:
        next_look: When `verdict` should be asked again. `works`, `writes`, `called` and `asked` may bring it nearer.
    """

    __slots__ = ("_end", "_first_text", "_first_text_s", "_hold", "_holding_s", "_last_text", "_quiet", "_stall_s",
                 "_works", "_written", "next_look")  # fmt: skip

    def __init__(self, settings: Settings, now: float) -> None:
        self._holding_s = settings.holding_ms / 1000
        self._first_text_s = settings.first_text_ms / 1000
        self._stall_s = settings.stall_ms / 1000
        self._end = now + settings.turn_s
        self._hold: float | None = now + self._holding_s
        self._first_text = now + self._first_text_s
        self._quiet = now  # since when the caller hears nothing
        self._last_text: float | None = None
        self._works = False
        self._written: float | None = None  # when the newest piece of a tool call came
        # Never later than one gap from now: text may come at any moment, and its gap is then the next limit.
        self.next_look = min(self._hold, self._first_text, self._end, now + self._stall_s)

    def progressed(self, now: float) -> None:
        """Note that text came."""
        self._last_text = self._quiet = now

    def spoke(self, now: float) -> None:
        """Note that the caller heard one of our own lines."""
        self._quiet = now

    def works(self, now: float) -> None:
        """Note that the turn waits for tools now."""
        self._works = True
        self._written = None
        self._hold = max(self._quiet + self._holding_s, now)
        self.next_look = min(self._hold, self._end)

    def writes(self, now: float) -> bool:
        """Note that a piece of a tool call came, of which nobody hears anything; tells whether it is the first."""
        is_first = self._written is None
        if is_first:
            self.works(now)
            self.next_look = min(self.next_look, now + self._stall_s)
        self._written = now
        return is_first

    def called(self, now: float) -> None:
        """Note that a tool call is whole. More of the answer may follow it."""
        self._works = False
        self._written = None
        self._last_text = self._quiet = now
        self.next_look = min(self.next_look, now + self._stall_s)

    def asked(self, now: float) -> None:
        """Note that the model was asked once more, and the first word is awaited anew."""
        self._works = False
        self._last_text = None
        self._hold = max(self._quiet + self._holding_s, now)
        self._first_text = now + self._first_text_s
        self.next_look = min(self._hold, self._first_text, self._end, now + self._stall_s)

    def verdict(self, now: float) -> Verdict:
        """Judge the silence so far, and set `next_look`."""
        if now >= self._end:
            return "too_long"
        if self._works:
            return self._while_working(now)
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

    def _while_working(self, now: float) -> Verdict:
        end = self._end
        if self._written is not None:
            if now >= self._written + self._stall_s:
                return "stalled"
            end = min(end, self._written + self._stall_s)
        hold = self._hold if self._hold is not None else now
        due = max(hold, self._quiet + self._holding_s)  # somebody may have said something meanwhile
        if now >= due:
            self._hold = now + HOLD_AGAIN * self._holding_s
            self.next_look = min(self._hold, end)
            return "hold"
        self.next_look = min(due, end)
        return "wait"
