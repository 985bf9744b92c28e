"""The fake API's prompt cache: what of a prompt it has seen before, and why not more. Pure: time is given.

It keeps entries as the API does: one for each mark (the instructions', and the last message's where `cache_control`
stands at the top level), none for a prompt shorter than 512 tokens, each for five minutes after its last use. What it
counts is estimated at four bytes a token.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from .fake_anthropic_blocks import Request
from .fake_anthropic_events import Prompt

__all__ = ["PromptCache"]

BYTES_A_TOKEN: Final = 4
LEAST_TOKENS: Final = 512
LIFE_S: Final = 300.0

LOOK_BACK: Final = 20
"""Messages before a mark among which the API looks for an entry; it counts blocks, of which a message may have more."""

MAX_ENTRIES: Final = 4096
MAX_REQUESTS: Final = 2048

_NULL: Final = msgspec.Raw(b"null")


class _Block(msgspec.Struct):
    cache_control: msgspec.Raw = _NULL


class _Diagnostics(msgspec.Struct):
    previous_message_id: str | None = None


class PromptCache:
    """What is remembered of requests."""

    def __init__(self) -> None:
        self._entries: dict[bytes, float] = {}  # digests of beginnings, with the time of their last use
        self._requests: dict[str, Request] = {}  # by the id of the answer, those that had `diagnostics`

    def read(self, request: Request, *, message_id: str, tokens: int, now: float) -> Prompt:
        """Look a request up, and remember it.

        Args:
            request: What was asked.
            message_id: The id of its answer.
            tokens: All of its tokens.
            now: Seconds.
        """
        prompt = Prompt(fresh=tokens)
        if tokens >= LEAST_TOKENS:
            self._count(prompt, request, tokens, now)
        if bytes(request.diagnostics) != b"null":
            prompt.miss = self._compare(request)
            self._requests[message_id] = request
            if len(self._requests) > MAX_REQUESTS:
                del self._requests[next(iter(self._requests))]
        return prompt

    def _count(self, prompt: Prompt, request: Request, tokens: int, now: float) -> None:
        beginnings = _beginnings(request)
        marks = [0] if _is_marked(request.system) else []
        if bytes(request.cache_control) != b"null":
            marks.append(len(beginnings) - 1)
        found = written = 0
        for mark in marks:
            for place in range(mark, max(mark - LOOK_BACK, -1), -1):
                digest, size = beginnings[place]
                used = self._entries.get(digest)
                if used is not None and now - used <= LIFE_S:
                    self._entries[digest] = now
                    found = max(found, size)
                    break
        for mark in marks:
            digest, size = beginnings[mark]
            if size >= LEAST_TOKENS:
                self._entries.pop(digest, None)
                self._entries[digest] = now
                written = max(written, size)
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        prompt.read, prompt.written = found, max(written - found, 0)
        prompt.fresh = max(tokens - found - prompt.written, 0)

    def _compare(self, request: Request) -> dict[str, object] | None:
        previous_id = msgspec.json.decode(request.diagnostics, type=_Diagnostics).previous_message_id
        if previous_id is None:
            return None
        previous = self._requests.get(previous_id)
        if previous is None:
            return _reason("previous_message_not_found")
        for name in ("model", "system", "tools"):
            if bytes(_field(previous, name)) != bytes(_field(request, name)):
                return _reason(f"{name}_changed", request)
        before, after = _messages(previous), _messages(request)
        if before != after[: len(before)]:
            return _reason("messages_changed", request)
        for name in ("thinking", "tool_choice"):
            if bytes(_field(previous, name)) != bytes(_field(request, name)):
                return _reason("unavailable")
        return None


def _field(request: Request, name: str) -> bytes:
    value: str | msgspec.Raw = getattr(request, name)
    return value.encode() if isinstance(value, str) else bytes(value)


def _messages(request: Request) -> list[bytes]:
    return [bytes(message) for message in msgspec.json.decode(request.messages, type=list[msgspec.Raw])]


def _is_marked(system: msgspec.Raw) -> bool:
    try:
        blocks = msgspec.json.decode(system, type=list[_Block])
    except msgspec.ValidationError:  # plain text
        return False
    return any([bytes(block.cache_control) != b"null" for block in blocks])


def _beginnings(request: Request) -> list[tuple[bytes, int]]:
    """Give a digest and the tokens of tools and instructions alone, and with the messages up to each one."""
    digest, size = hashlib.blake2b(digest_size=16), 0
    beginnings = []
    for number, part in enumerate(
        [*[_field(request, name) for name in ("model", "tools", "system")], *_messages(request)]
    ):
        digest.update(b"%d:%b" % (len(part), part))
        size += len(part)
        if number >= 2:
            beginnings.append((digest.digest(), size // BYTES_A_TOKEN))
    return beginnings


def _reason(kind: str, request: Request | None = None) -> dict[str, object]:
    reason: dict[str, object] = {"type": kind}
    if request is not None:
        reason["cache_missed_input_tokens"] = sum([len(message) for message in _messages(request)]) // BYTES_A_TOKEN
    return {"cache_miss_reason": reason}
