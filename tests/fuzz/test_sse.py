"""The model's event stream: any bytes, cut anywhere, from a host that may be anybody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.errors import ModelBroken
from retell_ws.models import sse, tool_blocks
from retell_ws.models.sse import MessageStream
from retell_ws.ports import Delta, End
from tests.models.test_sse import ANSWER, event, stop, text, tool_piece, tool_start

from .strategies import FUZZ, cut, mutated, pieces

STREAMS = (
    ANSWER,
    ANSWER.replace(b"\n", b"\r\n"),
    ANSWER.replace(b"\n", b"\r"),
    text("a") + tool_start() + tool_piece('{"a":') + tool_piece("1}") + stop() + event('{"type":"message_stop"}'),
    event('{"type":"error","error":{"type":"overloaded_error","message":"Kestrel"}}'),
    b": ping\n\n" * 20 + text("b"),
)

streams = mutated(STREAMS) | st.lists(mutated(STREAMS), max_size=4).map(b"".join) | st.binary(max_size=300)


def read(parts: Sequence[bytes]) -> tuple[list[Delta], str, bool]:
    """Give the deltas, the failure, and whether it is over."""
    stream = MessageStream()
    deltas = [delta for part in parts for delta in stream.feed(part)]
    over = stream.done
    try:
        stream.close()
    except ModelBroken as exc:
        return deltas, f"{exc} {exc.kind}", over
    return deltas, "", over


@FUZZ
@given(streams, pieces())
def test_it_does_not_matter_where_a_stream_is_cut(data: bytes, lengths: list[int]) -> None:
    assert read(cut(data, lengths)) == read([data])


@FUZZ
@given(streams)
def test_an_answer_ends_once_or_breaks_and_no_words_are_in_why(data: bytes) -> None:
    deltas, failure, _ = read([data])
    ends = [delta for delta in deltas if isinstance(delta, End)]
    assert len(ends) == (not failure)
    assert not ends or deltas[-1] is ends[0]
    assert "Kestrel" not in failure and "Grüß" not in failure


@FUZZ
@given(st.lists(streams, min_size=1, max_size=6), pieces())
def test_what_is_held_of_a_stream_is_bounded(parts: list[bytes], lengths: list[int]) -> None:
    bound, longest = 200, max(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "MAX_EVENT_BYTES", bound)
        patch.setattr(tool_blocks, "MAX_INPUT_BYTES", bound, raising=False)
        stream = MessageStream()
        for part in parts:
            for piece in cut(part, lengths):
                stream.feed(piece)
                assert stream.done or len(stream._line) <= bound
                assert stream.done or len(stream._data) <= bound
                assert len(stream._line) <= bound + longest
