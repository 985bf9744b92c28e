"""What the Messages API writes, as bytes: events in their HTTP chunks, heads, error bodies. Pure.

The events are those the API sends for an answer of text and tool blocks, in its order and with the fields of API
version 2026-10-21. Some of them end in spaces, as the API pads them. Everything that repeats is built once.
"""

from __future__ import annotations

import functools
from itertools import cycle
from typing import Final

import msgspec

__all__ = [
    "LAST_CHUNK",
    "PING",
    "Prompt",
    "block_start",
    "block_stop",
    "delta",
    "error_event",
    "input_delta",
    "message",
    "message_delta",
    "message_id",
    "message_start",
    "message_stop",
    "plain",
    "refused",
    "stream_head",
    "tool_start",
    "words",
]

LAST_CHUNK: Final = b"0\r\n\r\n"

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    529: "Overloaded",
}

_KINDS: Final = {
    400: ("invalid_request_error", "The request cannot be read."),
    401: ("authentication_error", "invalid x-api-key"),
    404: ("not_found_error", "Not found"),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}

_SENTENCES: Final = (
    "the office is open every day from nine until five.",
    "you can park your car right behind the main building.",
    "please bring your card and a list of your current questions.",
    "someone will call you back before noon tomorrow morning.",
    "I have put that down for you and sent a note.",
)


class Prompt(msgspec.Struct, kw_only=True):
    """How a prompt was read.

    Attributes:
        fresh: Tokens that were in no entry and are in none now.
        read: Tokens that were in one.
        written: Tokens that are now.
        miss: The value of `diagnostics` in the answer: None, or why the cache missed.
    """

    fresh: int = 0
    read: int = 0
    written: int = 0
    miss: dict[str, object] | None = None


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(name: bytes, data: bytes, padding: int = 0) -> bytes:
    return _chunk(b"event: %b\ndata: %b%b}\n\n" % (name, data[:-1], b" " * padding))


def message_id(request_id: int) -> str:
    """The id of an answer."""
    return f"msg_{request_id:024d}"


def message_start(request_id: int, model: str, prompt: Prompt) -> bytes:
    """The first event. `request_id` becomes part of the message's id."""
    data = msgspec.json.encode({"type": "message_start", "message": _message(request_id, model, prompt, None)})
    return _event(b"message_start", data, padding=8)


def message(request_id: int, model: str, prompt: Prompt) -> bytes:
    """The body of an answer that is not streamed, without content: what `max_tokens: 0` gives."""
    return msgspec.json.encode(_message(request_id, model, prompt, "max_tokens"))


def _message(request_id: int, model: str, prompt: Prompt, stop_reason: str | None) -> dict[str, object]:
    return {
        "model": model,
        "id": message_id(request_id),
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": prompt.fresh,
            "cache_creation_input_tokens": prompt.written,
            "cache_read_input_tokens": prompt.read,
            "cache_creation": {"ephemeral_5m_input_tokens": prompt.written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 0 if stop_reason else 1,
            "service_tier": "standard",
        },
        "diagnostics": prompt.miss,
    }


@functools.lru_cache(maxsize=64)
def block_start(index: int) -> bytes:
    """A block of text begins."""
    data = b'{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}' % index
    return _event(b"content_block_start", data, padding=3)


def tool_start(index: int, tool_id: str, name: str) -> bytes:
    """A block of a tool's call begins. Its input is empty here, and comes in pieces."""
    block = {"type": "tool_use", "id": tool_id, "name": name, "input": {}}
    data = msgspec.json.encode({"type": "content_block_start", "index": index, "content_block": block})
    return _event(b"content_block_start", data, padding=2)


PING: Final = _chunk(b'event: ping\ndata: {"type": "ping"}\n\n')


@functools.lru_cache(maxsize=64)
def block_stop(index: int) -> bytes:
    """A block ends."""
    return _event(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % index, padding=11)


message_stop: Final = _event(b"message_stop", b'{"type":"message_stop"}', padding=6)

error_event: Final = _event(
    b"error", b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":null}'
)


@functools.lru_cache(maxsize=4096)
def delta(text: str, index: int = 0) -> bytes:
    """A piece of text."""
    return _delta(index, b'"text_delta","text"', text)


def input_delta(json: str, index: int) -> bytes:
    """A piece of a tool's input; the API's first one is empty."""
    return _delta(index, b'"input_json_delta","partial_json"', json)


def _delta(index: int, kind: bytes, piece: str) -> bytes:
    data = b'{"type":"content_block_delta","index":%d,"delta":{"type":%b:%b}}' % (
        index,
        kind,
        msgspec.json.encode(piece),
    )
    return _event(b"content_block_delta", data, padding=len(piece) % 12)


def message_delta(stop_reason: str, output_tokens: int) -> bytes:
    """Why the answer ended and what it cost."""
    details = {"type": "refusal", "category": None, "explanation": None} if stop_reason == "refusal" else None
    return _event(
        b"message_delta",
        msgspec.json.encode(
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": details},
                "usage": {"output_tokens": output_tokens},
            }
        ),
        padding=4,
    )


def stream_head(request_id: int) -> bytes:
    """Status and headers of an event stream."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
        b"cache-control: no-cache\r\nconnection: keep-alive\r\nrequest-id: req_%024d\r\n\r\n" % request_id
    )


def plain(status: int, body: bytes, *, request_id: int = 0, fields: str = "") -> bytes:
    """A whole answer with a JSON body."""
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"request-id: req_{request_id:024d}\r\n{fields}\r\n"
    ).encode() + body


def refused(status: int, *, request_id: int, retry_after_s: int | None = None) -> bytes:
    """A whole answer that says no, in the API's words."""
    kind, text = _KINDS[status]
    body = msgspec.json.encode(
        {"type": "error", "error": {"type": kind, "message": text}, "request_id": f"req_{request_id:024d}"}
    )
    fields = f"retry-after: {retry_after_s}\r\n" if retry_after_s is not None else ""
    return plain(status, body, request_id=request_id, fields=fields)


@functools.lru_cache(maxsize=64)
def words(count: int) -> tuple[str, ...]:
    """Short words in sentences of nine to eleven, each with its space; the last one ends its sentence."""
    endless = cycle(word for sentence in _SENTENCES for word in sentence.split())
    texts = [next(endless) for _ in range(count)]
    if texts and not texts[-1].endswith("."):
        texts[-1] += "."
    return tuple(f"{text} " for text in texts[:-1]) + tuple(texts[-1:])
