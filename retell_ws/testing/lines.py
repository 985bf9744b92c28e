"""The sockets of one synthetic call: dials, pings, redials, and knows what each end means. Reads no frame itself.

Protocol §1.4 to §1.6 are here. Which frame counts is `acceptance`'s affair; what is said, `retell`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import orjson

from ..errors import RetellWsError
from .acceptance import Acceptance
from .dial import DialError, DialPolicy, dial
from .line import Line

__all__ = ["PING_S", "PONG_LIMIT_S", "CallEnded", "Lines"]

PING_S = 2.0
"""Seconds between two pings (§1.5)."""

PONG_LIMIT_S = 5.0
"""Seconds without a pong after which the line counts as dead (§1.5)."""

KEEPALIVE_REDIALS = 2
"""Redials after a dead line (§1.5)."""

ABNORMAL_REDIALS = 4
"""Redials after a drop without a close frame (§1.6)."""

_REASONS = {
    1000: "agent_hangup",
    1005: "error_llm_websocket_open",
    1007: "error_llm_websocket_corrupt_payload",
}
"""What a close by the server makes of the call; any other code is `error_llm_websocket_runtime` (§1.6)."""


class CallEnded(RetellWsError):
    """The call is over and the answer will not come. Its text is Retell's disconnection reason (§6.8)."""


class Lines:
    """The sockets of one call, of which the newest counts.

    Args:
        url: The full URL, call id included.
        rules: Told of every socket and every ping before it goes out.
        policy: How to dial.
        redial_policy: How to redial.
        ping_s: Seconds between pings, once a socket's `config` asked for them; None sends none.
        pong_limit_s: Seconds without a pong before a line is given up.
        redials: Whether to redial when a line dies by itself.
        send_timeout_s: Seconds for one send before the line is dropped.
        start: Starts a task of the call.
        hear: Gets every frame with its line.
        changed: Called when a line or the call has changed.
        opened: Called with each line that begins to count.
        broke: Called with the line that counts when it ends and the call has not.

    Attributes:
        current: The line that counts; None while there is none.
        reason: Retell's disconnection reason; None while the call lasts.
    """

    def __init__(
        self,
        url: str,
        rules: Acceptance,
        *,
        policy: DialPolicy,
        redial_policy: DialPolicy,
        ping_s: float | None,
        pong_limit_s: float,
        redials: bool,
        send_timeout_s: float,
        start: Callable[[Coroutine[Any, Any, None]], None],
        hear: Callable[[Line, str | bytes], None],
        changed: Callable[[], None],
        opened: Callable[[Line], None],
        broke: Callable[[Line], None],
    ) -> None:
        self.current: Line | None = None
        self.reason: str | None = None
        self._url = url
        self._rules = rules
        self._policy = policy
        self._redial_policy = redial_policy
        self._ping_s = ping_s
        self._pong_limit_s = pong_limit_s
        self._redials = redials
        self._send_timeout_s = send_timeout_s
        self._start = start
        self._hear = hear
        self._changed = changed
        self._opened = opened
        self._broke = broke
        self._all: list[Line] = []
        self._timestamp = 0
        self._died = {"keepalive": 0, "abnormal": 0}

    @property
    def is_open(self) -> bool:
        """Whether the call lasts and a line is up."""
        return self.reason is None and self.current is not None and self.current.is_open

    @property
    def newest(self) -> Line:
        """The line opened last, up or not."""
        return self._all[-1]

    def up(self) -> Line:
        """Give the line that counts.

        Raises:
            CallEnded: There is none.
        """
        if self.reason is not None:
            raise CallEnded(self.reason)
        if self.current is None:
            raise CallEnded("the line is down")
        return self.current

    async def dial(self) -> Line:
        """Open a socket that does not count yet.

        Raises:
            DialError: The server could not be reached; the call has ended.
        """
        try:
            return Line(await dial(self._url, policy=self._redial_policy if self._all else self._policy))
        except DialError:
            self.end(f"error_llm_websocket_{'lost_connection' if self._all else 'open'}")
            raise

    def take(self, line: Line) -> None:
        """Make this line the one that counts. One that is still up stays up."""
        self.current = line
        self._all = [other for other in self._all if other.is_open] + [line]
        self._rules.connected(time.perf_counter())
        self._opened(line)
        self._start(self._hold(line))
        self._changed()

    async def redial(self) -> None:
        """Dial again and take the new line. Raises as `dial` does."""
        self.take(await self.dial())

    async def drop(self) -> None:
        """Cut the line without a close frame and do not redial."""
        line = self.up()
        self.current = None
        line.abort()
        await line.gone.wait()

    def end(self, reason: str) -> None:
        """End the call, unless it has ended. The line stays to be closed."""
        if self.reason is None:
            self.reason = reason
            self._changed()

    def finish(self, reason: str) -> None:
        """End the call from Retell's side: the line is closed with 1000, without waiting for it here."""
        self.end(reason)
        self._start(self.close())

    async def close(self) -> None:
        """Close the line that counts with 1000."""
        if self.current is not None:
            await self.current.close(1000)

    def abort(self) -> None:
        """Cut every line."""
        for line in self._all:
            line.abort()

    async def send(self, message: dict[str, Any], line: Line | None = None) -> None:
        """Send one message, on the line that counts unless told otherwise.

        Raises:
            CallEnded: There is no line.
        """
        await self.send_raw(orjson.dumps(message).decode(), line)

    async def send_raw(self, data: str | bytes, line: Line | None = None) -> None:
        """Send one frame as it is. Raises as `send` does."""
        await (line or self.up()).send(data, timeout_s=self._send_timeout_s)

    async def ping(self, timestamp: int | None = None, line: Line | None = None) -> int:
        """Send one ping and return its timestamp: the clock in milliseconds unless one is given."""
        line = line or self.up()
        if timestamp is None:
            # Strictly growing, so that every echo names one ping.
            timestamp = self._timestamp = max(time.time_ns() // 1_000_000, self._timestamp + 1)
        if line is self.current:
            self._rules.pinged(timestamp, time.perf_counter())
        await self.send({"interaction_type": "ping_pong", "timestamp": timestamp}, line)
        return timestamp

    def ponged(self, line: Line) -> None:
        """Note that a pong came on this line."""
        line.heard_at = time.perf_counter()

    async def _hold(self, line: Line) -> None:
        """Read one line to its end, then do what Retell does about it."""
        async with asyncio.TaskGroup() as tasks:
            pinger = tasks.create_task(self._keep_alive(line))
            try:
                await line.read(self._hear)
            finally:
                pinger.cancel()
        if line is self.current and self.reason is None:
            self._broke(line)
            self._changed()
            await self._mend(line)

    async def _mend(self, line: Line) -> None:
        """Redial, or end the call, as §1.6 says."""
        if line.is_dead:
            kind, limit, reason = "keepalive", KEEPALIVE_REDIALS, "error_llm_websocket_lost_connection"
        elif line.code == 1006:
            kind, limit, reason = "abnormal", ABNORMAL_REDIALS, "error_llm_websocket_runtime"
        else:
            self.end(_REASONS.get(line.code, "error_llm_websocket_runtime"))
            return
        if not self._redials or self._died[kind] >= limit:
            self.end(reason)
            return
        self._died[kind] += 1
        with suppress(DialError):  # noted as the end of the call
            await self.redial()

    async def _keep_alive(self, line: Line) -> None:
        """Ping every two seconds and give the line up after five without an echo (§1.5)."""
        await line.keepalive.wait()
        if self._ping_s is None:
            return
        line.heard_at = due = time.perf_counter()
        while True:
            now = time.perf_counter()
            if now >= line.heard_at + self._pong_limit_s:
                line.is_dead = True
                line.abort()
                return
            if now >= due:
                due = now + self._ping_s
                await self.ping(None, line)
            await asyncio.sleep(max(0.0, min(due, line.heard_at + self._pong_limit_s) - time.perf_counter()))
