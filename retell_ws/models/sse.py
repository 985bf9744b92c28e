"""Anthropic's event stream, bytes to deltas. Does no I/O and never logs or quotes what it reads.

The framing is that of server-sent events (WHATWG HTML, §9.2.6 "Interpreting an event stream"): lines that end in
LF, CR LF or CR, an event that ends with an empty line, `data` lines joined by a line feed, comments. The `event`
line is not read: Anthropic repeats the name as `type` in the data, and a gateway that drops the line still works.

Anthropic adds event and delta types without notice and asks clients to ignore the unknown (API versioning), so one
lenient struct reads them all and anything it does not know gives no delta.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import ModelBroken
from ..ports import WRITING, Delta, End, Text, Usage
from .tool_blocks import ToolBlocks

__all__ = ["MessageStream"]

MAX_EVENT_BYTES: Final = 1 << 20
"""Longest event. Deltas have some hundred bytes; only a thinking signature or a citation reaches thousands."""

MAX_STREAM_BYTES: Final = 16 << 20
"""Longest answer with its framing: about 100,000 deltas, where a spoken answer has fewer than a thousand."""

UNREADABLE: Final = "the model's stream holds an event that cannot be read"


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    stop_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""


class _Tokens(msgspec.Struct, gc=False):
    """`usage`: complete in `message_start`, cumulative in `message_delta`, where null means "as before"."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str = ""
    usage: _Tokens | None = None
    diagnostics: msgspec.Raw = msgspec.Raw(b"null")


class _Reason(msgspec.Struct, gc=False):
    type: str = ""


class _Diagnostics(msgspec.Struct, gc=False):
    """Null, or with a null in it while the provider has not compared the requests yet, when it has nothing to say."""

    cache_miss_reason: _Reason | None = None


class _Error(msgspec.Struct, gc=False):
    type: str = ""


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Tokens | None = None
    error: _Error | None = None


class _Kind(msgspec.Struct, gc=False):
    """As much of an event as tells whether we should have been able to read it."""

    type: str = ""
    delta: msgspec.Raw = msgspec.Raw(b"null")


class _DeltaKind(msgspec.Struct, gc=False):
    type: str = ""


_event = msgspec.json.Decoder(_Event)
_diagnostics = msgspec.json.Decoder(_Diagnostics | None)
_kind = msgspec.json.Decoder(_Kind)
_delta_kind = msgspec.json.Decoder(_DeltaKind | None)

_CR: Final = 13
"""The byte CR as a number: seven times faster to look for than as `bytes`."""

MAX_ID: Final = 128
"""Longest id of an answer that is handed on; the API's have 30 characters."""

CACHE_MISSES: Final = frozenset(
    {
        "model_changed",
        "system_changed",
        "tools_changed",
        "messages_changed",
        "previous_message_not_found",
        "unavailable",
    }
)
"""The API's reasons for a miss of its cache; others become `other`, so that they may be counted by their names."""

_KNOWN: Final = frozenset({"content_block_start", "message_start", "message_delta", "message_stop", "error"})


class MessageStream:
    """One answer of the Messages API on its way in.

    Nothing is raised while bytes are fed, so that text which arrived together with a failure is not lost. Feed
    until `done` or until the bytes end, then `close`:

        while not stream.done and (data := await response.read()):
            for delta in stream.feed(data):
                yield delta
        stream.close()

    Args:
        request_id: The response's `request-id`, handed on in `End` and in failures.
        connect_s: Seconds until the request was written, handed on in `End`; None when nobody knows.
    """

    __slots__ = ("_after_cr", "_cache_miss", "_connect_s", "_data", "_failure", "_line", "_message_id", "_model",
                 "_room", "_stop_reason", "_tokens", "_tools", "done", "ended", "request_id")  # fmt: skip

    done: bool
    """Whether further bytes cannot change anything: the answer ended, or it failed."""

    ended: bool
    """Whether the answer came to its end."""

    def __init__(self, *, request_id: str = "", connect_s: float | None = None) -> None:
        self.done = self.ended = False
        self._failure: ModelBroken | None = None
        self.request_id = request_id
        self._room = MAX_STREAM_BYTES
        self._line = bytearray()  # the line that has begun
        self._after_cr = False  # an LF that comes next belongs to the CR before it
        self._data = b""  # the event that has begun
        self._connect_s = connect_s
        self._model = self._message_id = self._cache_miss = ""
        self._stop_reason = ""
        self._tokens = Usage()
        self._tools = ToolBlocks()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes, cut anywhere.

        Args:
            data: Body of the response, as it came.

        Returns:
            What the bytes completed, in order; empty once `done`. The last delta of a whole answer is its `End`.
        """
        deltas: list[Delta] = []
        if self.done:
            return deltas
        self._room -= len(data)
        if self._room < 0:
            self._fail("the model's answer is too long")
            return deltas
        if self._after_cr or _CR in data:
            data = self._with_line_feeds(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        if self._line and lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            if line:
                if line[:5] == b"data:":
                    self._add(line[5:])
            elif self._data:
                event, self._data = self._data, b""
                self._take(event, deltas)
            if self.done:
                return deltas
        if rest:
            self._begin(rest)
        return deltas

    def close(self) -> None:
        """Say that no more bytes come.

        Raises:
            ModelBroken: The stream held an `error` event, was no stream of the Messages API, or ended before its
                `message_stop` or in a tool call.
        """
        if self._failure is None and not self.ended:
            self._fail("the model's answer was cut off")
        if self._failure is not None:
            raise self._failure

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _begin(self, rest: bytes) -> None:
        self._line += rest
        if len(self._line) > MAX_EVENT_BYTES:
            self._fail("an event of the model's stream is too long")

    def _add(self, value: bytes) -> None:
        # The one space after the colon stays, and the line feed between two lines: both are white space to JSON.
        self._data = b"%b\n%b" % (self._data, value) if self._data else value
        if len(self._data) > MAX_EVENT_BYTES:
            self._fail("an event of the model's stream is too long")

    def _take(self, data: bytes, deltas: list[Delta]) -> None:
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if not _foreign(data):
                self._fail(UNREADABLE)
            return
        if event.type == "content_block_delta":
            delta = event.delta
            if delta is None:
                return
            if delta.type == "text_delta":
                if delta.text:
                    deltas.append(Text(delta.text))
            elif delta.type == "input_json_delta":
                self._take_tool(data, deltas)
        elif event.type == "content_block_stop":
            if self._tools:
                self._take_tool(data, deltas)
        else:
            self._take_other(event, data, deltas)

    def _take_other(self, event: _Event, data: bytes, deltas: list[Delta]) -> None:
        match event.type:
            case "message_start":
                if event.message is not None:
                    self._model = event.message.model
                    self._message_id = _bounded(event.message.id)
                    self._cache_miss = _cache_miss(event.message.diagnostics)
                    self._count(event.message.usage)
            case "content_block_start":
                # Empty in the API's own streams; a gateway may put the first text here, as the schema allows.
                block = event.content_block
                if block is not None and block.type == "text" and block.text:
                    deltas.append(Text(block.text))
                elif block is not None and block.type == "tool_use":
                    self._take_tool(data, deltas)
            case "message_delta":
                if event.delta is not None and event.delta.stop_reason:
                    self._stop_reason = event.delta.stop_reason
                self._count(event.usage)
            case "message_stop" if self._tools:
                self._fail("the model's answer ended inside a tool call")
            case "message_stop":
                self.done = self.ended = True
                deltas.append(
                    End(
                        stop_reason=self._stop_reason or "end_turn",
                        usage=self._tokens,
                        model=self._model,
                        request_id=self.request_id,
                        message_id=self._message_id,
                        cache_miss=self._cache_miss,
                        connect_s=self._connect_s,
                    )
                )
            case "error":
                kind = event.error.type[:64] if event.error is not None else ""
                self._fail(f"the model's stream ended in an error event ({kind or 'without a type'})", kind or None)

    def _take_tool(self, data: bytes, deltas: list[Delta]) -> None:
        # Read a second time, so that text, of which there is far more, has no field of theirs to be read with it.
        try:
            call = self._tools.take(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._fail(UNREADABLE)
        except ModelBroken as exc:
            self._fail(str(exc))
        else:
            if call is not None:
                deltas.append(call)
            elif self._tools:
                deltas.append(WRITING)

    def _count(self, tokens: _Tokens | None) -> None:
        if tokens is None:
            return
        old = self._tokens
        self._tokens = Usage(
            input_tokens=_newer(tokens.input_tokens, old.input_tokens),
            output_tokens=_newer(tokens.output_tokens, old.output_tokens),
            cache_read_input_tokens=_newer(tokens.cache_read_input_tokens, old.cache_read_input_tokens),
            cache_creation_input_tokens=_newer(tokens.cache_creation_input_tokens, old.cache_creation_input_tokens),
        )

    def _fail(self, message: str, kind: str | None = None) -> None:
        self.done = True
        self._failure = ModelBroken(message, kind=kind, request_id=self.request_id or None)


def _newer(new: int | None, old: int) -> int:
    return old if new is None else new


def _bounded(message_id: str | None) -> str:
    """Give an id that fits; a piece of one would name nothing."""
    return message_id if message_id is not None and len(message_id) <= MAX_ID else ""


def _cache_miss(diagnostics: msgspec.Raw) -> str:
    """Give the reason of a miss, empty for none. What cannot be read is no reason to lose the answer."""
    try:
        told = _diagnostics.decode(diagnostics)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "other"
    if told is None or told.cache_miss_reason is None:
        return ""
    return told.cache_miss_reason.type if told.cache_miss_reason.type in CACHE_MISSES else "other"


def _foreign(data: bytes) -> bool:
    """Tell whether an event that `_Event` cannot hold is of a type, or carries a delta, we need not understand."""
    try:
        kind = _kind.decode(data)
        if kind.type == "content_block_delta":
            delta = _delta_kind.decode(kind.delta)
            return delta is not None and delta.type not in ("text_delta", "input_json_delta")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return kind.type not in _KNOWN
