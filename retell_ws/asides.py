"""What a call says beside its answers: interruptions, tool calls for Retell's records, settings of the agent. No I/O.

None of it belongs to a `response_id`. What cannot leave now, because the call has no socket, is held for the next one,
and words that need not interrupt an answer wait for its end.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from .intent import EndCall, Intent, PressDigits, TransferCall
from .memo import AsidesMemo
from .speech import split
from .wire import AgentConfig, AgentInterrupt, Outbound, UpdateAgent, encode

__all__ = ["Asides"]

MAX_AFTER: Final = 8
"""Texts that wait for the end of an answer; the oldest go first."""

MAX_HELD: Final = 64
"""Messages held for the next socket; the oldest go first. A redial takes seconds."""


class Asides:
    """The asides of one call, over all of its sockets.

    Attributes:
        after: Texts that are said when the present answer has come to its end.
    """

    __slots__ = ("_config", "_held", "_interrupt", "_interrupts", "_written_on", "after")

    def __init__(self) -> None:
        self.after: deque[str] = deque(maxlen=MAX_AFTER)
        self._config: AgentConfig | None = None
        self._held: deque[bytes] = deque(maxlen=MAX_HELD)
        self._interrupts = 0
        self._interrupt: list[bytes] = []  # the newest, until a socket that brought messages had it
        self._written_on = 0  # the number of the socket it was written to; 0 for none

    def memo(self) -> AsidesMemo:
        """Write it down: notes that are held are not, Retell's records are all that lacks them."""
        return AsidesMemo(self._config, self._interrupts, () if self._written_on else tuple(self._interrupt))

    def recall(self, memo: AsidesMemo, after: tuple[str, ...]) -> None:
        """Take in a memo.

        Args:
            memo: The memo.
            after: Texts that wait for the end of the present answer.
        """
        self.after = deque(after, maxlen=MAX_AFTER)
        self._config, self._interrupts, self._interrupt = memo.config, memo.interrupts, list(memo.waiting)

    def note(self, message: Outbound, socket: int) -> list[bytes]:
        """Write a message now, or hold it.

        Args:
            message: A `tool_call_invocation`, `tool_call_result` or `metadata`.
            socket: The number of the present socket; 0 for none.
        """
        frame = encode(message)
        if socket:
            return [frame]
        self._held.append(frame)
        return []

    def update(self, config: AgentConfig, socket: int) -> list[bytes]:
        """Change how the agent behaves; told again to each later socket, as nobody knows what outlives one (§3.6)."""
        told = {} if self._config is None else msgspec.structs.asdict(self._config)
        changes = {name: value for name, value in msgspec.structs.asdict(config).items() if value is not None}
        self._config = AgentConfig(**{**told, **changes})
        return [encode(UpdateAgent(agent_config=config))] if socket else []

    def interrupt(self, text: str, intent: Intent | None, socket: int) -> list[bytes]:
        """Speak unasked (§3.4). An older interruption that still waits is dropped: Retell would discard it."""
        self._interrupts += 1
        pieces = list(split(text)) or [""]
        self._interrupt = [
            encode(
                AgentInterrupt(
                    interrupt_id=self._interrupts,
                    content=piece,
                    content_complete=number == len(pieces),
                    no_interruption_allowed=True,  # otherwise both talk, and the agent is cut off at once
                    end_call=isinstance(intent, EndCall),
                    transfer_number=intent.number if isinstance(intent, TransferCall) else None,
                    digit_to_press=intent.digits if isinstance(intent, PressDigits) else None,
                )
            )
            for number, piece in enumerate(pieces, start=1)
        ]
        self._written_on = socket
        return self._interrupt if socket else []

    def due(self) -> list[str]:
        """The answer has come to its end: give what waited for it."""
        texts = list(self.after)
        self.after.clear()
        return texts

    def forget(self) -> None:
        """The caller has spoken since: an interruption that waits is out of date."""
        self._interrupt = []

    def resume(self, socket: int, *, unheard: bool) -> list[bytes]:
        """A new socket: write what was held.

        Args:
            socket: Its number.
            unheard: The one before never brought a message, so what it was told was told to nobody.
        """
        frames = [] if self._config is None else [encode(UpdateAgent(agent_config=self._config))]
        frames += self._held
        self._held.clear()
        if self._interrupt and (not self._written_on or (unheard and self._written_on == socket - 1)):
            frames += self._interrupt
            self._written_on = socket
        return frames
