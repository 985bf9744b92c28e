"""Odd payloads that Retell sends, or that a hostile or newer one might. Pure: each is a text frame or a transcript."""

from __future__ import annotations

from typing import Any

import orjson

from .conversation import user, utterance

__all__ = [
    "BAD_JSON",
    "UNINTELLIGIBLE",
    "consecutive_roles",
    "deep_json",
    "growing",
    "keypad_items",
    "long_transcript",
    "nulls",
    "tool_items",
    "trailing_spaces",
    "unicode_text",
    "unknown_fields",
    "unknown_kind",
    "unknown_roles",
    "wrong_types",
]

BAD_JSON = ("", "{", "not json", '{"interaction_type":', "[]", "null", '"ping_pong"', "\x00", '{"a":1}')
"""Frames that are no message: cut, empty, no object, no discriminator."""

UNINTELLIGIBLE = "(unintelligible audio)"
"""What Retell sends for a sound without words (§2.6)."""


def unknown_kind() -> str:
    """A kind this protocol does not have yet."""
    return _text({"interaction_type": "sentiment_changed", "response_id": 3, "sentiment": {"score": 0.5}})


def unknown_fields() -> dict[str, Any]:
    """Fields nobody documented, one of them the typo of the docs' own sample (§2.4)."""
    return {"timestamp": 3, "priority": "high", "audio": {"rms": [0.1, 0.2]}, "response_type": None}


def nulls() -> dict[str, Any]:
    """Optional fields that are there and null."""
    return {"turntaking": None, "transcript_with_tool_calls": None, "metadata": None}


def wrong_types() -> tuple[str, ...]:
    """Known kinds with fields of another type. The ids are those of no request, so nothing is owed for them."""
    return (
        _text({"interaction_type": "response_required", "response_id": "7", "transcript": []}),
        _text({"interaction_type": "response_required", "response_id": None, "transcript": []}),
        _text({"interaction_type": "response_required", "response_id": [1], "transcript": []}),
        _text({"interaction_type": "response_required", "transcript": []}),
        _text({"interaction_type": "update_only", "transcript": "hello"}),
        _text({"interaction_type": "update_only", "transcript": {"role": "user"}}),
        _text({"interaction_type": "ping_pong", "timestamp": "now"}),
        _text({"interaction_type": "ping_pong"}),
        _text({"interaction_type": "call_details", "call": None}),
        _text({"interaction_type": "call_details", "call": []}),
        _text({"interaction_type": 7}),
        _text({"interaction_type": ["update_only"]}),
    )


def deep_json(depth: int = 50_000) -> str:
    """An `update_only` nested so deep that a recursive reader runs out of stack."""
    return '{"interaction_type":"update_only","transcript":' + "[" * depth + "]" * depth + "}"


def long_transcript(size: int = 1_000_000) -> list[dict[str, Any]]:
    """A long call: about `size` bytes of JSON, mostly word times, as real ones are (§1.9)."""
    said = "so I was thinking that perhaps we could find some time for it on another day of the week "
    turns: list[dict[str, Any]] = []
    one = len(orjson.dumps(utterance("agent", said))) + 1
    while one * (len(turns) + 1) < size - 200:
        turns.append(utterance("user" if len(turns) % 2 else "agent", said, at_s=len(turns) * 6.0))
    turns.append(utterance("user", "So, can you help me with that?", at_s=len(turns) * 6.0))
    return turns


def trailing_spaces() -> list[dict[str, Any]]:
    """Text that ends in blanks, the agent's last: what strict model APIs refuse (§2.6)."""
    return [
        utterance("agent", "Hello, how can I help? "),
        utterance("user", "Hi, I would like to ask something. "),
        utterance("agent", "Sure,  "),
        {"role": "agent", "content": "   ", "words": []},
    ]


def consecutive_roles() -> list[dict[str, Any]]:
    """Utterances of one party in a row, the agent first and last."""
    parts = [("agent", "Hello. "), ("agent", "Anybody there? "), ("user", "Yes,"), ("user", "hello,"), ("user", "hi.")]
    return [utterance(role, content) for role, content in parts]


def unknown_roles() -> list[dict[str, Any]]:
    """Parties and items that are neither `agent` nor `user` (§2.6, §2.7)."""
    return [
        utterance("system", "The call is recorded."),
        utterance("transfer_target", "This is the back office."),
        {"role": "node_transition", "former_node_id": "a", "new_node_id": "b"},
        {"role": "hologram", "shape": [1, 2, 3]},
        utterance("user", "Hello, can you help me?"),
    ]


def tool_items() -> list[dict[str, Any]]:
    """A `transcript_with_tool_calls` with every documented item (§2.7)."""
    return [
        utterance("user", "Tuesday at ten please."),
        {"role": "tool_call_invocation", "tool_call_id": "tc_1", "name": "book", "arguments": '{"day":"Tuesday"}'},
        {"role": "tool_call_result", "tool_call_id": "tc_1", "content": "booked", "successful": True},
        {"role": "dtmf", "digit": "#"},
        {"role": "injected", "content": "The caller is a regular.", "time_sec": 4.2},
        {"role": "sms", "content": "see picture", "time_sec": 5, "multimedia": [{"url": "https://example.com/a.png"}]},
        utterance("user", "Is that done?"),
    ]


def keypad_items() -> list[dict[str, Any]]:
    """Keys as nobody presses them, between items of roles nobody knows (§2.7)."""
    return [
        {"role": "dtmf"},
        {"role": "dtmf", "digit": None},
        {"role": "dtmf", "digit": ""},
        {"role": "hologram", "shape": [1, 2, 3]},
        {"role": "dtmf", "digit": "12"},
        {"role": "dtmf", "digit": "A"},
        {"role": "dtmf", "digit": 5},
        {},
        {"role": "dtmf", "digit": "#"},
    ]


def unicode_text() -> list[dict[str, Any]]:
    """Right-to-left text, emoji built of several code points, and a zero byte as JSON writes it."""
    return user("Здравствуйте, 你好, مرحبا, 👩‍👩‍👧‍👦 naïve cafe\u0301 \u202e \u0000 hello?")


def growing() -> tuple[str, ...]:
    """One sentence as speech recognition delivers it, changing its mind on the way (§2.6)."""
    return ("I need", "I need a point", "I need an appointment", "I need an appointment on Tuesday.")


def _text(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()
