"""What both Anthropic clients share of the Messages API: the request's body and the meaning of a refusal. No I/O.

**The prompt cache** works on prefixes, byte for byte, and keeps an entry for each *mark*. So the body is written in one
order, what never changes during a call first, and it holds two marks of the four that are allowed. `cache_control` at
the top level lets the API itself put one at the last block, which moves on as the conversation grows: each turn reads
what the one before has written. The other stands at the instructions, because the API looks for an entry only some
twenty blocks back from a mark, and because a call's first question has no turn before it: this entry, tools and
instructions, is the one that all calls of an agent share and that a warm-up fills (`warm_up_of`). Where the
instructions are shorter than the API's least entry the mark does nothing. `thinking` is disabled because a caller would
hear it as silence. There are no sampling parameters: API version 2026-10-21 has none.

**Diagnostics** stand last, being no part of the prompt. They are in every request, at first with null: the API says why
its cache missed only by comparison with a request that had them, too.

**Tools** are told as they are, without `eager_input_streaming`. It brings the first piece of long arguments sooner and
gives up the API's check that they are JSON. Ours are short, and of use only when their block has ended, which is no
sooner for it; nor is any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from ..errors import ModelError, ModelRateLimited, ModelRejected, ModelUnavailable
from ..request import Message, ModelRequest
from ..tool import ToolSpec

__all__ = ["API_VERSION", "DEFAULT_BASE_URL", "DEFAULT_MODEL", "Body", "body_of", "error_kind", "refusal", "warm_up_of"]

API_VERSION: Final = "2026-10-21"
"""`anthropic-version`, as version 2.12 of the official client sends it."""

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"

DEFAULT_MODEL: Final = "claude-haiku-5-5"
"""The quickest of the newest family."""

_RETRIABLE_4XX: Final = frozenset({408, 409})
"""Request timeout and conflict: the official client tries these again, too."""


class _Disabled(msgspec.Struct, frozen=True, tag_field="type", tag="disabled"):
    """`{"type":"disabled"}`"""


class _Ephemeral(msgspec.Struct, frozen=True, tag_field="type", tag="ephemeral"):
    """`{"type":"ephemeral"}`"""


class _NoTool(msgspec.Struct, frozen=True, tag_field="type", tag="none"):
    """`{"type":"none"}`"""


class _Instructions(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """The block of the instructions, with its mark."""

    text: str
    cache_control: _Ephemeral = _Ephemeral()


class _Diagnostics(msgspec.Struct, frozen=True):
    """What the cache's miss is told by."""

    previous_message_id: str | None


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/messages`, in the order in which it is written.

    The structs of the prompt are written as they are: `ToolSpec`, and `Message` with its blocks, have the API's fields.
    """

    model: str
    max_tokens: int
    stream: bool | msgspec.UnsetType = True
    thinking: _Disabled = _Disabled()
    cache_control: _Ephemeral | msgspec.UnsetType = _Ephemeral()
    tools: tuple[ToolSpec, ...] | msgspec.UnsetType = msgspec.UNSET
    system: tuple[_Instructions] | msgspec.UnsetType = msgspec.UNSET
    tool_choice: _NoTool | msgspec.UnsetType = msgspec.UNSET
    messages: tuple[Message, ...]
    diagnostics: _Diagnostics | msgspec.UnsetType = msgspec.UNSET


class _ErrorDetail(msgspec.Struct, gc=False):
    type: str = ""


class _ErrorBody(msgspec.Struct, gc=False):
    error: _ErrorDetail | None = None


_error_body = msgspec.json.Decoder(_ErrorBody)


def body_of(request: ModelRequest, model: str) -> Body:
    """Write a request in the API's terms.

    Args:
        request: What to ask.
        model: The model asked where the request names none.
    """
    return Body(
        model=request.model or model,
        max_tokens=request.max_tokens,
        tools=request.tools or msgspec.UNSET,
        # The API refuses an empty text block.
        system=(_Instructions(request.system),) if request.system else msgspec.UNSET,
        # And it refuses a choice where there is nothing to choose from.
        tool_choice=_NoTool() if request.tools and request.tool_choice == "none" else msgspec.UNSET,
        messages=request.messages,
        diagnostics=_Diagnostics(request.previous_id or None),
    )


def warm_up_of(body: Body) -> Body:
    """Ask for nothing but that the beginning of a request be in the prompt cache.

    Tools, instructions and `thinking` stay as they are: any other byte in them would make another entry. There is no
    mark of the API's own at the last block, which only stands in for what the caller will say: it would make an entry
    that nobody reads. The API allows no stream here.
    """
    return msgspec.structs.replace(
        body, max_tokens=0, stream=msgspec.UNSET, cache_control=msgspec.UNSET, diagnostics=msgspec.UNSET
    )


def error_kind(body: bytes) -> str | None:
    """Read `error.type` out of the body of a refusal; None when there is none, as from a proxy in between."""
    try:
        decoded = _error_body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (decoded.error.type[:64] or None) if decoded.error is not None else None


def refusal(status: int, headers: Mapping[str, str], kind: str | None) -> ModelError:
    """Say whose fault an HTTP status is.

    The API's own sentence is left out: it may quote the request.

    Args:
        status: HTTP status, anything but 200.
        headers: Headers of the answer, names in lower case.
        kind: `error.type` of the body.

    Returns:
        The exception to raise.
    """
    if status == 429:
        error: type[ModelError] = ModelRateLimited
    elif status >= 500 or status in _RETRIABLE_4XX:
        error = ModelUnavailable
    else:
        error = ModelRejected
    return error(
        f"the model's API answered {status}{f' ({kind})' if kind else ''}",
        status=status,
        kind=kind,
        request_id=headers.get("request-id"),
        retry_after_s=_seconds(headers.get("retry-after")),
    )


def _seconds(retry_after: str | None) -> float | None:
    """Read `retry-after` (RFC 9110 §10.2.3). Its form as a date is left out: the API sends seconds."""
    if retry_after is None or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", retry_after.strip()):
        return None
    return float(retry_after)
