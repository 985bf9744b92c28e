"""How a call begins: with the details or without, and was the caller greeted before? Pure.

Two things keep the begin message waiting. A greeting that is a function's needs the details of the call, which Retell
tells soon after `config` (protocol §2.2). And there may be doubt: another process has written the greeting and died
before it read a sign that it was heard, or the store cannot tell whether there was another process at all. Then the
next messages may tell (§1.7.3): words of the agent's in the transcript, or how long ago the call began. When they do
not, the caller is greeted after a short time, because silence is the worse error.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from .agent import Agent
from .answer import BEGIN
from .transcript import agent_has_spoken, decode_transcript
from .wire import CallInfo, Config, ConfigOptions, Response, encode

__all__ = ["AT_ONCE_MS", "BEGUN", "FIRST_DIAL_MS", "Opening", "config_of"]

BEGUN: Final = encode(Response(response_id=BEGIN, content="", content_complete=True))
"""The begin message of a call that has begun: complete, without words (§1.7.3)."""

FIRST_DIAL_MS: Final = 30_000
"""A call that began longer before its socket was dialled before: Retell gives up the first dial after 27 s (§1.4)."""

AT_ONCE_MS: Final = 3_000
"""A call that began at most so long before its socket was dialled has had no other: no tool can have run in it."""


class Opening:
    """What is known of the begin of one call.

    Attributes:
        waits: The begin message waits for the details, or for the time to pass in which they may come.
        is_doubtful: A greeting was written that may have been heard or not.
        dialled_ms: When the first socket here came, in milliseconds since the epoch, while nobody knows whether the
            call was begun elsewhere; None otherwise.
        is_new: Nobody knew, and then Retell's messages have told: it was not.
    """

    __slots__ = ("dialled_ms", "is_doubtful", "is_new", "waits")

    def __init__(self) -> None:
        self.waits = self.is_doubtful = self.is_new = False
        self.dialled_ms: int | None = None

    def recall(self, *, waits: bool, doubtful: bool) -> None:
        """Go on with a call that another process had."""
        self.waits, self.is_doubtful = waits or doubtful, doubtful

    def settle(self) -> None:
        """The caller was greeted, or the talk has begun all the same."""
        self.waits = self.is_doubtful = False

    def updated(self, transcript: Raw, *, said: bool) -> bool:
        """Look for the agent's words in what Retell heard; tells whether the caller was greeted.

        Args:
            transcript: The newest.
            said: Words of the agent's were written here.
        """
        heard = decode_transcript(transcript)[0]
        if self.dialled_ms is not None:
            self._know(is_new=not heard and not said)
        return self.waits and agent_has_spoken(heard)

    def told(self, details: CallInfo) -> bool:
        """Look when the call began; tells whether the caller was greeted."""
        if not details.start_timestamp or self.dialled_ms is None:
            return False
        age_ms, self.dialled_ms = self.dialled_ms - details.start_timestamp, None
        self.is_new |= age_ms < AT_ONCE_MS
        return self.waits and age_ms > FIRST_DIAL_MS

    def asked(self, *, is_new: bool) -> None:
        """Retell asked: the talk has begun.

        Args:
            is_new: Nobody would ask so if the call had been begun elsewhere.
        """
        self.waits = self.is_doubtful = False
        if self.dialled_ms is not None:
            self._know(is_new=is_new)

    def _know(self, *, is_new: bool) -> None:
        """The first transcript tells whether the call was begun elsewhere: something would have been said there."""
        self.is_new |= is_new
        self.dialled_ms = None


def config_of(agent: Agent) -> bytes:
    """Write the message that each socket begins with (§3.1)."""
    options = ConfigOptions(auto_reconnect=True, call_details=True, transcript_with_tool_calls=agent.keypad)
    return encode(Config(config=options))
