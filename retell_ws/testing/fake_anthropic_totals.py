"""Running totals of the fake API: what a long run has asked of it and cost, without a log of every request. No I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from .fake_anthropic_blocks import Request

__all__ = ["Totals", "Watch"]

_messages: Final = msgspec.json.Decoder(list[msgspec.Raw])

OPENING_MESSAGES: Final = 3
"""A conversation of no more messages is at its opening: what stands before a greeting, the greeting, the first words.
Many calls open in the same words, so equal openings at one time are no sign that one call has asked twice."""


class Totals(msgspec.Struct):
    """Sums since the start. Tokens are reckoned: input as a quarter of the body's bytes, output as deltas.

    Attributes:
        requests: All requests for an answer.
        streamed: Those that were to be streamed.
        warm_ups: Those with `max_tokens: 0`.
        refused: Those that were refused with an HTTP status.
        hung: Those that are never to get a token, by the distribution of first tokens.
        beyond_openings: Streamed requests of conversations past their opening.
        twins: Of those, requests that came in the same words while a request in those words was still running,
            whichever model each of them asked.
        input_tokens: Of all requests.
        output_tokens: Of all answers, as far as they were written.
        peer_closed: Streamed answers whose connection was closed before their end.
        unheard_tokens: Output of those.
    """

    requests: int = 0
    streamed: int = 0
    warm_ups: int = 0
    refused: int = 0
    hung: int = 0
    beyond_openings: int = 0
    twins: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    peer_closed: int = 0
    unheard_tokens: int = 0


class Watch:
    """Keeps the totals, and tells requests in the same words apart.

    Attributes:
        totals: The sums.
    """

    def __init__(self) -> None:
        self.totals = Totals()
        self._asked: dict[bytes, int] = {}
        self._running: dict[bytes, int] = {}

    def begin(self, request: Request, input_tokens: int) -> tuple[bytes, int]:
        """Count a request.

        Returns:
            The last message of the conversation, as JSON, and how often it was asked about before. Together with the
            model's name they are what a request is known by, whatever else the server asks at the time.
        """
        totals = self.totals
        totals.requests += 1
        totals.input_tokens += input_tokens
        totals.warm_ups += request.max_tokens == 0
        if not request.stream:
            return b"", 0
        totals.streamed += 1
        try:
            messages = _messages.decode(request.messages)
        except msgspec.ValidationError:
            messages = []
        words = bytes(messages[-1]) if messages else b""
        before = self._asked.get(words, 0)
        self._asked[words] = before + 1
        if len(messages) > OPENING_MESSAGES:
            totals.beyond_openings += 1
            totals.twins += bool(self._running.get(bytes(request.messages)))
        return words, before

    def runs(self, messages: bytes) -> None:
        """A stream about these messages is open."""
        self._running[messages] = self._running.get(messages, 0) + 1

    def ends(self, messages: bytes, output_tokens: int, *, closed_by_peer: bool) -> None:
        """It ended."""
        left = self._running.get(messages, 0) - 1
        if left > 0:
            self._running[messages] = left
        else:
            self._running.pop(messages, None)
        self.totals.output_tokens += output_tokens
        if closed_by_peer:
            self.totals.peer_closed += 1
            self.totals.unheard_tokens += output_tokens
