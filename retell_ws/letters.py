"""What servers write to each other about calls: a command for one that another has, and its reply. No I/O.

Whoever can write to the channel can command, so what comes from there is trusted in what it asks, but not in its form.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from .control import Command, Reply
from .errors import WireError

__all__ = ["MAX_LETTER", "Letter", "Request", "Told", "decode", "encode"]

MAX_LETTER: Final = 32 * 1024
"""Bytes of a letter: the longest text there may be, every character escaped, and some room."""

Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,128}\Z")]
"""Of a server, a call or a request: harmless in the name of a channel, and in a log."""


class Request(msgspec.Struct, frozen=True, tag_field="letter", tag="request"):
    """Do this.

    Attributes:
        id: No other request has it; the same one may come twice, and is done once.
        sender: The server that wants to know what came of it.
        call_id: The call.
        command: What.
    """

    id: Name
    sender: Name
    call_id: Name
    command: Command


class Told(msgspec.Struct, frozen=True, tag_field="letter", tag="told"):
    """What came of a request.

    Attributes:
        id: The request's.
        sender: The server that was asked.
        reply: What it says.
    """

    id: Name
    sender: Name
    reply: Reply


Letter: TypeAlias = Request | Told

_decoder: msgspec.json.Decoder[Letter] = msgspec.json.Decoder(Letter)


def encode(letter: Letter) -> bytes:
    """Write a letter."""
    return msgspec.json.encode(letter)


def decode(data: bytes) -> Letter:
    """Read a letter.

    Raises:
        WireError: It is none, or too long. The text quotes nothing of it.
    """
    if len(data) > MAX_LETTER:
        raise WireError("too long for a letter")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("no letter of ours") from None
