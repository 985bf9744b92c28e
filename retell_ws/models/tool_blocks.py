"""The tool calls of one streamed answer: blocks whose arguments come in pieces. No I/O.

Arguments are put together and handed on unread: they need not be JSON before the block ends, nor after it when
`max_tokens` fell into them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import ModelBroken
from ..ports import ToolCall

__all__ = ["ToolBlocks"]

MAX_ARGUMENTS: Final = 64 << 10
"""Longest arguments of one call, in characters; what a caller says in a call makes some hundred."""

_NOTHING: Final = frozenset({"", "{}", "null"})
"""`input` at the start of a block, as the API sends it when pieces follow."""


class _ToolUse(msgspec.Struct, gc=False):
    id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"")


class _Json(msgspec.Struct, gc=False):
    partial_json: str


class _Start(msgspec.Struct, gc=False, tag_field="type", tag="content_block_start"):
    content_block: _ToolUse
    index: int = 0


class _Delta(msgspec.Struct, gc=False, tag_field="type", tag="content_block_delta"):
    delta: _Json
    index: int = 0


class _Stop(msgspec.Struct, gc=False, tag_field="type", tag="content_block_stop"):
    index: int = 0


class _Open(msgspec.Struct):
    id: str
    name: str
    input: str
    pieces: list[str] = []
    length: int = 0


_event = msgspec.json.Decoder(_Start | _Delta | _Stop)


class ToolBlocks:
    """Puts the tool calls of one answer together."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def __bool__(self) -> bool:
        """Tell whether a call has begun and not ended."""
        return bool(self._open)

    def take(self, data: bytes) -> ToolCall | None:
        """Take an event of a tool's block: its start, a piece of its arguments, or the end of any block.

        Args:
            data: The event's JSON.

        Returns:
            The call, when this ended it.

        Raises:
            msgspec.DecodeError: The event cannot be read.
            ModelBroken: It breaks a rule or a limit.
        """
        match _event.decode(data):
            case _Start(content_block=block, index=index):
                if index in self._open:
                    raise ModelBroken("two open blocks of the model's answer have one index")
                self._open[index] = _opened(block)
            case _Delta(delta=delta, index=index):
                # A block that is not open is one of the provider's own tools, which it runs itself.
                if (call := self._open.get(index)) is not None:
                    call.length += len(delta.partial_json)
                    _check(call.length)
                    call.pieces.append(delta.partial_json)
            case stop:
                if (call := self._open.pop(stop.index, None)) is not None:
                    return ToolCall(id=call.id, name=call.name, arguments="".join(call.pieces) or call.input)
        return None


def _opened(block: _ToolUse) -> _Open:
    # Empty in the API's own streams; a gateway may put the whole input here, as the schema allows.
    given = bytes(block.input).decode()
    _check(len(given))
    return _Open(block.id, block.name, "" if given in _NOTHING else given)


def _check(length: int) -> None:
    if length > MAX_ARGUMENTS:
        raise ModelBroken("the arguments of a tool call are too long")
