"""Tickets for sockets of the console: a browser can show no token there, so it shows a ticket it has got with one.

A ticket is for one socket of one call, soon. No clock and no chance of its own.
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["CALL_ID", "MAX_OPEN", "VALID_S", "Ticket", "Tickets"]

VALID_S: Final = 30.0
"""Seconds a ticket waits for its socket."""

MAX_OPEN: Final = 20
"""Tickets that wait at once; the oldest gives way."""

CALL_ID: Final = re.compile(r"try_[A-Za-z0-9_-]{8,64}")
"""The calls there are tickets for: those of the console itself. With another one's id a browser would take the line of
somebody who is talking."""


class Ticket(NamedTuple):
    """What opens one socket."""

    call_id: str
    ticket: str


class Tickets:
    """Those that wait for their sockets.

    Args:
        draw: Gives a secret that nobody guesses, of A-Za-z0-9_-.
    """

    def __init__(self, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()  # by ticket: its call, and when it was issued

    def issue(self, now: float, call_id: str = "") -> Ticket:
        """Issue a ticket.

        Args:
            now: The time in seconds.
            call_id: One of `CALL_ID`, to dial it again; empty for a new call.
        """
        self._expire(now)
        while len(self._open) >= MAX_OPEN:
            self._open.popitem(last=False)
        made = Ticket(call_id or f"try_{self._draw()}", self._draw())
        self._open[made.ticket] = made.call_id, now
        return made

    def redeem(self, now: float, call_id: str, ticket: str) -> bool:
        """Take a ticket back, for good.

        Args:
            now: The time in seconds.
            call_id: The call that is to be dialled.
            ticket: What was shown.

        Returns:
            Whether it is valid, and this call's. One that was shown for another call is lost.
        """
        self._expire(now)
        shown, found = ticket.encode("utf-8", "surrogateescape"), ""
        for known in self._open:  # all of them, each in constant time
            if hmac.compare_digest(shown, known.encode()):
                found = known
        return bool(found) and self._open.pop(found)[0] == call_id

    def _expire(self, now: float) -> None:
        while self._open and now - next(iter(self._open.values()))[1] > VALID_S:
            self._open.popitem(last=False)
