"""Facts as they may leave the process: every text that holds speech goes through the agent's `Mask`. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from .entries import AnyFact, Entry
from .masking import CARD, FAILED, Mask
from .speech_facts import CallerSaid, CallTranscript, Line, WebhookReceived
from .transcript import DTMF

__all__ = ["KEY_PRESSED", "STAYS", "careful", "masked", "masked_entry"]

KEY_PRESSED: Final = "[digit]"
"""In place of a key, where the keys that were pressed in the talk are a long number: the agent may speak in between."""

STAYS: Final = frozenset(
    {
        *("call_id", "agent_id", "agent_name", "agent_tag", "call_type", "call_status", "direction", "event"),
        *("disconnection_reason", "data_storage_setting", "user_sentiment", "product", "role", "name", "type"),
        *("tool_call_id", "twilio_call_sid", "transition_type", "transfer_option"),
        *("former_node_id", "former_node_name", "new_node_id", "new_node_name"),
    }
)
"""What stays as it is of a webhook's call: identifiers and words of Retell's own, and whatever ends in `_url`."""

FREE: Final = frozenset(
    {
        *("metadata", "retell_llm_dynamic_variables", "collected_dynamic_variables", "custom_sip_headers"),
        "custom_analysis_data",
    }
)
"""What others fill as they like: masked all through, names and whole numbers as well."""

SECRET: Final = frozenset({"access_token"})
"""What opens a call to whoever has it: left out."""

CARD_FROM: Final = 10**13
"""Numbers below it may be times in milliseconds, and no payment card has so few digits."""

DEPTH: Final = 64
"""How deep a webhook's call is looked into; Retell's own goes to 6."""

_Json: TypeAlias = Any


def careful(mask: Mask, failed: Callable[[Exception], None]) -> Mask:
    """Make a `Mask` that never raises: a text that it cannot mask does not leave at all.

    Args:
        mask: Of an agent's author.
        failed: Told of each failure.
    """

    def carefully(text: str) -> str:
        try:
            given = mask(text)
            if not isinstance(given, str):
                raise TypeError(f"a mask gives a str, not {type(given).__name__}")
        except Exception as exc:  # whatever it is, the text stays here
            failed(exc)
            return FAILED
        return given

    return carefully


def masked_entry(entry: Entry, mask: Mask) -> Entry:
    """Give an entry whose fact is `masked`."""
    if isinstance(entry.fact, CallerSaid | CallTranscript | WebhookReceived):
        return msgspec.structs.replace(entry, fact=masked(entry.fact, mask))
    return entry


def masked(fact: AnyFact, mask: Mask) -> AnyFact:
    """Give a fact without what must not leave the process. One without speech is given as it is.

    Of a webhook's call, what `STAYS` names stays, and numbers do but for those of cards and what others filled in
    (`FREE`).
    """
    match fact:
        case CallerSaid():
            return msgspec.structs.replace(fact, text=mask(fact.text))
        case CallTranscript():
            return msgspec.structs.replace(
                fact,
                lines=tuple(_lines(fact.lines, mask)),
                from_number=mask(fact.from_number),
                to_number=mask(fact.to_number),
            )
        case WebhookReceived():
            return msgspec.structs.replace(fact, call=_object(fact.call, mask, DEPTH))
        case _:
            return fact


def _lines(lines: Sequence[Line], mask: Mask) -> Iterator[Line]:
    # Each key is a line of its own, and together they are a number.
    is_long = _is_masked("".join(line.text for line in lines if line.role == DTMF), mask)
    for line in lines:
        if line.role != DTMF:
            yield msgspec.structs.replace(line, text=mask(line.text))
        else:
            yield msgspec.structs.replace(line, text=KEY_PRESSED) if is_long else line


def _object(given: Mapping[str, _Json], mask: Mask, depth: int) -> dict[str, _Json]:
    return {name: _field(name, value, mask, depth) for name, value in given.items() if name not in SECRET}


def _field(name: str, value: _Json, mask: Mask, depth: int) -> _Json:
    if isinstance(value, str) and (name in STAYS or name.endswith("_url")):
        return value
    if name in FREE:
        return _free(value, mask, depth - 1)
    if name == "words" and isinstance(value, list):
        # The words of an utterance, one by one: a number shows only where they stand together.
        said = " ".join(str(word.get("word") or "") for word in value if isinstance(word, dict))
        if _is_masked(said, mask):
            return []
    return _value(value, mask, depth - 1)


def _value(value: _Json, mask: Mask, depth: int) -> _Json:
    if depth < 0:
        return FAILED
    match value:
        case str():
            return mask(value)
        case dict():
            return _object(value, mask, depth)
        case list():
            is_long = _is_masked("".join(item["digit"] for item in value if _is_key(item)), mask)
            return [_item(item, mask, depth - 1, is_long=is_long) for item in value]
        case int() | float() if abs(value) >= CARD_FROM:
            return given if (given := _number(value, mask)) == CARD else value
        case _:
            return value


def _item(item: _Json, mask: Mask, depth: int, *, is_long: bool) -> _Json:
    if _is_key(item):
        return {**item, "digit": KEY_PRESSED} if is_long else item
    return _value(item, mask, depth)


def _is_key(item: _Json) -> bool:
    return isinstance(item, dict) and item.get("role") == DTMF and isinstance(item.get("digit"), str)


def _free(value: _Json, mask: Mask, depth: int, name: str = "") -> _Json:
    if depth < 0:
        return FAILED
    match value:
        case str():
            return _named(name, value, mask)
        case dict():
            return {mask(inner): _free(item, mask, depth - 1, inner) for inner, item in value.items()}
        case list():
            return [_free(item, mask, depth - 1, name) for item in value]
        case int() | float() if not isinstance(value, bool):
            return _number(value, partial(_named, name, mask=mask))
        case _:
            return value


def _named(name: str, value: str, mask: Mask) -> str:
    """Mask a value where it stands, beside its name: `pin: 4821` is a secret, and `4821` alone is none."""
    if not name:
        return mask(value)
    before = f"{mask(name)}: "
    shown = mask(f"{name}: {value}")
    return shown[len(before) :] if shown.startswith(before) else mask(value)


def _number(value: float, mask: Mask) -> _Json:
    if isinstance(value, float):
        if not value.is_integer():
            return value
        text = str(int(value))  # who writes JSON in other languages writes `4111111111111111.0` for a card
    else:
        text = str(value)
    return value if (given := mask(text)) == text else given


def _is_masked(text: str, mask: Mask) -> bool:
    return mask(text) != text
