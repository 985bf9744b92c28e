"""Stops asking a model that fails, and tries it again now and then. Pure: time is given.

| state | | to |
|---|---|---|
| closed | 5 failures in a row, or half of at least 20 requests within 10 s | open |
| closed, open, half-open | 429 that says when to come back | open for that long |
| open | 5 s, or the time the 429 named, are over | half-open |
| half-open | one request is let through every 5 s; it fails | half-open, the next one 5 s later |
| open, half-open | a request that was made after it opened comes to its end | closed |

A request that was given up (the caller spoke again, another one was quicker) says nothing and is not told of here. An
old request that fails or ends after the breaker opened says nothing new either.

The state is local to the process: a shared one would be one more thing that fails for all at once.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, TypeAlias

__all__ = ["Breaker", "BreakerState"]

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

IN_A_ROW: Final = 5
"""Failures in a row that open it: enough where calls are few."""

AT_LEAST: Final = 20
"""Requests within the window before their failures are weighed."""

PART: Final = 0.5
"""The part of them that must have failed."""

WINDOW_S: Final = 10
"""Seconds that are looked at; counted in whole ones, so that a busy server needs no more memory than an idle one."""

PROBE_S: Final = 5.0
"""Seconds between two requests that find out whether the model is back."""

LONGEST_S: Final = 300.0
"""Longest time a provider may send us away for, in seconds."""


class _Second:
    __slots__ = ("failed", "number", "requests")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = self.failed = 0


class Breaker:
    """What is known of the health of one model."""

    __slots__ = ("_in_a_row", "_next_probe", "_opened_at", "_seconds")

    def __init__(self) -> None:
        self._in_a_row = 0
        self._seconds: deque[_Second] = deque()
        self._opened_at: float | None = None  # None while it is closed
        self._next_probe = 0.0

    def state(self, now: float) -> BreakerState:
        """Tell the state; asking changes nothing."""
        if self._opened_at is None:
            return "closed"
        return "open" if now < self._next_probe else "half-open"

    def lets_through(self, now: float) -> bool:
        """Tell whether the model may be asked now. When it is half-open this is the probe: the next is 5 s away."""
        if self._opened_at is None:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + PROBE_S
        return True

    def succeeded(self, now: float, *, asked_at: float) -> None:
        """Note that an answer came to its end.

        Args:
            now: When, in seconds.
            asked_at: When it was asked for, in seconds.
        """
        if self._opened_at is None:
            self._in_a_row = 0
            self._second(now).requests += 1
        elif asked_at >= self._opened_at:
            self._opened_at = None
            self._next_probe = 0.0
            self._in_a_row = 0
            self._seconds.clear()

    def failed(self, now: float, *, asked_at: float, retry_after_s: float | None = None) -> None:
        """Note that a request failed.

        Args:
            now: When, in seconds.
            asked_at: When it was made, in seconds.
            retry_after_s: When the provider wants to be asked again, in seconds from now; None when it said nothing.
        """
        if retry_after_s:
            self._open(now, max(self._next_probe, now + min(retry_after_s, LONGEST_S)))
        elif self._opened_at is not None:
            if asked_at >= self._opened_at:
                self._next_probe = max(self._next_probe, now + PROBE_S)
        else:
            self._in_a_row += 1
            second = self._second(now)
            second.requests += 1
            second.failed += 1
            if self._in_a_row >= IN_A_ROW or self._is_half_broken():
                self._open(now, now + PROBE_S)

    def _open(self, now: float, next_probe: float) -> None:
        self._opened_at = now
        self._next_probe = next_probe

    def _second(self, now: float) -> _Second:
        number = int(now)
        while self._seconds and self._seconds[0].number <= number - WINDOW_S:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].number < number:
            self._seconds.append(_Second(number))
        return self._seconds[-1]

    def _is_half_broken(self) -> bool:
        requests = sum([second.requests for second in self._seconds])
        return requests >= AT_LEAST and sum([second.failed for second in self._seconds]) >= PART * requests
